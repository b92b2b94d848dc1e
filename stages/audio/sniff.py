"""Detects the container of a file by its content; the user's file name is not trusted.

The result names the one libav demuxer that may read the file, so a playlist, a picture or an exotic format never
reaches its demuxer. Lengths that libav silently corrects to the present bytes are read here, so that a truncated file
is distinguished from a short one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from stages.audio.mpeg_frames import first_mp3, is_adts, stated_seconds
from stages.audio.rejections import empty, unreadable

_HEAD_BYTES = 64 * 1024
_OGG_TAIL_BYTES = 64 * 1024 + 512
"""More than the largest Ogg page (RFC 3533: 27 + 255 + 255 * 255 bytes)."""
_UNKNOWN_SIZE = 0x7FFF0000
"""Programs that write WAV into a pipe leave a size near 2 or 4 GiB, some minus the header, or 0."""
_MAX_PARTS = 1000
"""Tags and chunks that are skipped at most: a real file has a dozen, a hostile one with 8 bytes each takes minutes."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container and the length that it states."""

    demuxer: str
    """libav's name."""
    states_length: bool = False
    """The header has a length that libav reports unchanged, so it can be compared with the samples."""
    stated_s: float | None = None
    """The length in a header that libav replaces by its own guess, seconds."""
    missing: float = 0.0
    """Share of the stated bytes that are missing, 0..1."""


def sniff(path: Path) -> Container:
    """Identify an audio file by its first bytes.

    Raises Rejected: AUDIO_EMPTY for a file of no bytes, AUDIO_UNREADABLE for anything that is not an allowed format.
    """
    size = path.stat().st_size
    if size == 0:
        raise empty("The speech file is empty.")
    with path.open("rb") as file:
        start = _skip_id3(file)
        file.seek(start)
        head = file.read(_HEAD_BYTES)
        if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
            return Container("wav", missing=_missing_wav_data(file, start, size))
        if head[:4] == b"fLaC":
            return Container("flac", states_length=True)
        if head[:4] == b"OggS":
            return Container("ogg", missing=_missing_ogg_page(file, size))
        if head[4:8] == b"ftyp":
            return Container("mp4", states_length=True)
        if is_adts(head):
            return Container("aac")
        offset = first_mp3(head)
        if offset is not None:
            return Container("mp3", stated_s=stated_seconds(head, offset))
    raise unreadable("The speech file is not an audio file of a known format.")


def _skip_id3(file: BinaryIO) -> int:
    """Offset after the ID3v2 tags (each: 10 bytes of header, which end in a size of four 7-bit bytes)."""
    offset = 0
    for _ in range(_MAX_PARTS):
        file.seek(offset)
        header = file.read(10)
        if len(header) < 10 or header[:3] != b"ID3":
            break
        offset += 10 + (header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9])
    return offset


def _missing_wav_data(file: BinaryIO, start: int, size: int) -> float:
    """Missing share of the ``data`` chunk (RIFF; RF64 as EBU Tech 3306)."""
    offset, long_size = start + 12, None
    for _ in range(_MAX_PARTS):
        if offset + 8 > size:
            return 0.0
        file.seek(offset)
        header = file.read(8)
        length = int.from_bytes(header[4:8], "little")
        if header[:4] == b"ds64":
            long_size = int.from_bytes(file.read(16)[8:16], "little")
        if header[:4] == b"data":
            present = size - offset - 8
            if length == 0xFFFFFFFF and long_size:
                length = long_size
            elif length >= _UNKNOWN_SIZE:
                return 0.0
            return 0.0 if length <= present else 1 - present / length
        offset += 8 + length + length % 2
    raise unreadable(f"The speech file has more than {_MAX_PARTS} chunks before its sound.")


def _missing_ogg_page(file: BinaryIO, size: int) -> float:
    """1.0 when the last page is truncated: the length of what followed is unknown, so all counts as missing."""
    start = max(0, size - _OGG_TAIL_BYTES)
    file.seek(start)
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :] if b"OggS" in tail else b""
    if len(page) < 27:
        return 1.0
    segments = page[27 : 27 + page[26]]
    return 0.0 if len(segments) == page[26] and 27 + len(segments) + sum(segments) <= len(page) else 1.0
