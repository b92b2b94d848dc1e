"""Recognises the format of a file by its first bytes: accepted pictures, and other formats by name for the message."""

from dataclasses import dataclass

HEAD_BYTES = 4096
"""How much of a file ``recognise`` reads."""
ALLOWED = "JPEG, PNG, WebP, AVIF, HEIC, GIF or BMP"


@dataclass(frozen=True, slots=True)
class Format:
    """A file format.

    name: with its article, as in "a TIFF picture"; advice: what to do with such a file; openers: the names of Pillow's
    openers for it, none when the format is not accepted.
    """

    name: str
    advice: str
    openers: tuple[str, ...] = ()


def _accepted(name: str, *openers: str) -> Format:
    return Format(name, "Save it again, or use another file.", openers)


JPEG = _accepted("a JPEG picture", "JPEG")
PNG = _accepted("a PNG picture", "PNG")
WEBP = _accepted("a WebP picture", "WEBP")
GIF = _accepted("a GIF picture", "GIF")
BMP = _accepted("a BMP picture", "BMP")
AVIF = _accepted("an AVIF picture", "AVIF")
HEIC = _accepted("a HEIC picture", "HEIF", "AVIF")

_SAVE = "Save it as JPEG or PNG."
_EXPORT = "Export it as PNG."
_STILL = "Save one frame of it as JPEG or PNG."
_SWAPPED = "Use a picture with a face; check that portrait and speech are not swapped."
_RAW = Format("a camera's RAW file", "Develop it and save it as JPEG.")
_TIFF = Format("a TIFF picture or a camera's RAW file (DNG, NEF, ARW, CR2)", "Save it as JPEG or PNG.")
_VIDEO = Format("a video", _STILL)
_SOUND = Format("a sound file", _SWAPPED)
_ARCHIVE = Format("an archive or an Office document", "Unpack it and use a picture in it.")
_PDF = Format("a PDF document", _EXPORT)
_SVG = Format("an SVG drawing", _EXPORT)
_HTML = Format("a web page (HTML), not a picture", "Download the picture itself.")
_XML = Format("an XML document, not a picture", "Download the picture itself.")
_TEXT = Format("a text, not a picture", _SAVE)
_JXL = Format("a JPEG XL picture", _SAVE)
_JPEG_2000 = Format("a JPEG 2000 picture", _SAVE)
_ICON = Format("an icon (ICO)", _SAVE)
_POSTSCRIPT = Format("a PostScript document", _EXPORT)
_PNM = Format("a PNM picture (PPM, PGM, PBM)", _SAVE)

# Longer signatures before those that are their beginning.
_SIGNATURES: tuple[tuple[bytes, Format], ...] = (
    (b"\xff\xd8", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    *((start, _TIFF) for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    *((start, _RAW) for start in (b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FUJIFILM", b"FOVb", b"\0MRM", b"II\x1a\0")),
    (b"\xff\x0a", _JXL),
    (b"\0\0\0\x0cJXL ", _JXL),
    (b"\0\0\0\x0cjP  ", _JPEG_2000),
    (b"\xff\x4f\xff\x51", _JPEG_2000),
    (b"II\xbc\x01", Format("a JPEG XR picture", _SAVE)),
    (b"%!PS", _POSTSCRIPT),
    (b"\xc5\xd0\xd3\xc6", _POSTSCRIPT),
    (b"8BPS", Format("a Photoshop document (PSD)", _EXPORT)),
    (b"gimp xcf", Format("a GIMP document (XCF)", _EXPORT)),
    (b"\0\0\1\0", _ICON),
    (b"\0\0\2\0", _ICON),
    (b"icns", Format("an icon (ICNS)", _SAVE)),
    *((b"P%d" % kind + space, _PNM) for kind in range(1, 8) for space in (b"\n", b" ", b"\r", b"\t")),
    (b"qoif", Format("a QOI picture", _SAVE)),
    (b"DDS ", Format("a DDS texture", _SAVE)),
    (b"\x76\x2f\x31\x01", Format("an OpenEXR picture", _SAVE)),
    (b"#?RADIANCE", Format("a Radiance HDR picture", _SAVE)),
    (b"AT&TFORM", Format("a DjVu document", _EXPORT)),
    (b"BPG\xfb", Format("a BPG picture", _SAVE)),
    (b"\x8aMNG", Format("an MNG animation", _SAVE)),
    (b"\xd7\xcd\xc6\x9a", Format("a Windows metafile (WMF)", _EXPORT)),
    (b"\x1a\x45\xdf\xa3", Format("a Matroska or WebM file", _STILL)),
    *((start, _VIDEO) for start in (b"\0\0\x01\xba", b"\0\0\x01\xb3", b"FLV\x01", b"\x30\x26\xb2\x75")),
    *((start, _SOUND) for start in (b"ID3", b"fLaC", b"OggS", b"caff", b"#!AMR", b".snd", b"RF64", b"FORM")),
    *((b"\xff" + second, _SOUND) for second in (b"\xfb", b"\xfa", b"\xf3", b"\xf2", b"\xf1", b"\xf9")),
    *((start, _ARCHIVE) for start in (b"PK\3\4", b"7z\xbc\xaf", b"Rar!", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"BZh")),
    (b"\x1f\x8b", Format("a compressed file (gzip, SVGZ)", "Unpack it first; export a drawing as PNG.")),
)
_BMP_HEADERS = frozenset((12, 16, 40, 52, 56, 64, 108, 124))
_RIFF = {b"WEBP": WEBP, b"WAVE": _SOUND, b"AVI ": _VIDEO}
_ANY_CODEC = frozenset((b"mif1", b"msf1"))
_HEIC_PICTURES = frozenset((b"heic", b"heix", b"heim", b"heis"))
_HEIC_BRANDS = _HEIC_PICTURES | _ANY_CODEC | {b"hevc", b"hevx", b"hevm", b"hevs"}
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_SOUND_BRANDS = frozenset((b"M4A ", b"M4B ", b"F4A "))
_QUICKTIME_BOXES = frozenset((b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"))


def recognise(head: bytes) -> Format | None:
    """The format of a file that begins with ``head`` (``HEAD_BYTES`` or the whole file); None for unknown content."""
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return BMP
    for start, found in _SIGNATURES:
        if head.startswith(start):
            return found
    if b"%PDF-" in head[:1024]:
        return _PDF
    if head[4:8] in _QUICKTIME_BOXES or (head[:1] == b"G" and head[188:189] == b"G" == head[376:377]):
        return _VIDEO
    return _text(head)


def _iso_media(head: bytes) -> Format:
    """Files of ISO/IEC 14496-12: pictures, videos and sound, told apart by their brands."""
    size = int.from_bytes(head[:4], "big")
    major, brands = head[8:12], {head[at : at + 4] for at in range(16, min(size, len(head)) - 3, 4)}
    if major in _AVIF_BRANDS or (major not in _HEIC_BRANDS - _ANY_CODEC and brands & _AVIF_BRANDS):
        return AVIF
    if major in _HEIC_BRANDS or brands & _HEIC_PICTURES:
        return HEIC
    if major == b"crx ":
        return _RAW
    return _SOUND if major in _SOUND_BRANDS else _VIDEO


def with_openers_brand(data: bytes, found: Format) -> bytes:
    """The AVIF or HEIC file ``data`` with a major brand by which Pillow's openers know it.

    Writers may put a general one there (miaf, mif2, avio, isom), and the codec's among the compatible brands.
    """
    known, brand = (_AVIF_BRANDS, b"avif") if found is AVIF else (_HEIC_BRANDS, b"heic")
    return data if data[8:12] in known | _ANY_CODEC else data[:8] + brand + data[12:]


def _text(head: bytes) -> Format | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return _HTML
    if text.startswith(b"<"):
        return _SVG if b"<svg" in text else _XML
    printable = all(byte >= 32 or byte in b"\t\n\r\f" for byte in head)
    return _TEXT if head and printable and _is_utf8(head) else None


def _is_utf8(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as e:
        return e.start > len(head) - 4 and len(head) == HEAD_BYTES  # cut inside a character
    return True
