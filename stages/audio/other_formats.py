"""Recognises files that are not accepted as speech, so that the user learns what the file is and what to do."""

from shared.messages.codes import Rejected
from stages.audio.rejections import not_a_recording, other_format, unreadable

_RECORDINGS = (
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a WMA or another Windows Media file"),
    (0, b"MThd", "a MIDI file, which holds notes and no sound"),
    (0, b"MAC ", "a Monkey's Audio (APE) file"),
    (0, b"DSD ", "a DSD (DSF) file"),
    (0, b"FRM8", "a DSD (DFF) file"),
    (0, b"wvpk", "a WavPack file"),
    (0, b"TTA1", "a True Audio (TTA) file"),
    (0, b"tBaK", "a TAK file"),
    (0, b"OFR ", "an OptimFROG file"),
    (0, b"MPCK", "a Musepack file"),
    (0, b"caff", "a CAF (Core Audio) file"),
    (0, b"riff\x2e\x91\xcf\x11", "a Wave64 file"),
    (0, b"Creative Voice File", "a VOC file"),
    (0, b"ADIF", "an AAC file with an ADIF header"),
    (0, b"\x7f\xfe\x80\x01", "a DTS file"),
    (0, b".RMF", "a RealMedia file"),
    (0, b".ra\xfd", "a RealAudio file"),
    (0, b"FLV\x01", "a Flash video"),
    (0, b"\0\0\x01\xba", "an MPEG program stream (MPG, VOB)"),
    (8, b"AVI ", "an AVI video"),
)
_PICTURES = (
    (4, b"ftypheic", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIF picture"),
    (4, b"ftypavif", "an AVIF picture"),
    (0, b"\x89PNG", "a PNG picture"),
    (8, b"WEBP", "a WebP picture"),
    (0, b"GIF8", "a GIF picture"),
)
_OTHERS = (
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"#EXTM3U", "a playlist"),
    (0, b"[playlist]", "a playlist"),
)
_SHORT_RECORDINGS = ((0, b"MP+", "a Musepack file"), (0, b"\x0b\x77", "a Dolby Digital (AC-3) file"))
_SHORT_PICTURES = ((0, b"\xff\xd8\xff", "a JPEG picture"), (0, b"BM", "a BMP picture"))
_SHORT_OTHERS = ((0, b"\x1f\x8b", "a gzip archive"),)
_TS_PACKET = 188
_CLUSTER = b"\x1f\x43\xb6\x75"


_Signatures = tuple[tuple[int, bytes, str], ...]


def recognised(head: bytes) -> Rejected | None:
    """The rejection of a file that begins like this; None for an unknown format."""
    rejection = _named(head, _RECORDINGS, _PICTURES, _OTHERS)
    if rejection is not None:
        return rejection
    if head[:4] == _CLUSTER:
        return unreadable("The speech file is a later part of a WebM recording: join it to the first part.")
    if head[: 4 * _TS_PACKET : _TS_PACKET] == b"GGGG":  # Every packet begins with 0x47.
        return other_format("an MPEG transport stream (TS)")
    if head[:256].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return not_a_recording("a web page")
    return None


def guessed(head: bytes) -> Rejected | None:
    """As ``recognised`` by fewer than four bytes, which occur by chance before sound; so it is looked for first."""
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE4:
        return other_format("an MPEG layer II (MP2) file")
    return _named(head, _SHORT_RECORDINGS, _SHORT_PICTURES, _SHORT_OTHERS)


def _named(head: bytes, recordings: _Signatures, pictures: _Signatures, others: _Signatures) -> Rejected | None:
    for signatures, rejection in ((recordings, other_format), (pictures, _picture), (others, not_a_recording)):
        for offset, signature, name in signatures:
            if head[offset : offset + len(signature)] == signature:
                return rejection(name)
    return None


def _picture(name: str) -> Rejected:
    return not_a_recording(name, " Check whether portrait and speech are swapped.")
