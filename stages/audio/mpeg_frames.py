"""Frame headers of MPEG audio: MP3 (ISO/IEC 11172-3, 13818-3 layer III) and AAC in ADTS (ISO/IEC 13818-7)."""

from collections.abc import Callable
from dataclasses import dataclass

_BITRATES_KBPS = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = (44_100, 48_000, 32_000)
_FRAMES_IN_A_ROW = 3
"""A sync word occurs by chance in any file; this many matching headers at the right distances do not."""
_ENCODER_FRAMES = 2


@dataclass(frozen=True, slots=True)
class Mp3Frame:
    """One layer III frame header."""

    rate: int
    samples: int
    length: int
    """Bytes, header included."""
    side_info: int
    """Offset of the main data, which is the position of an encoder's Xing or Info tag."""


def mp3_frame(data: bytes, offset: int = 0) -> Mp3Frame | None:
    """Read the layer III header at ``offset``; None when there is none."""
    if offset + 4 > len(data) or data[offset] != 0xFF or data[offset + 1] & 0xE6 != 0xE2:
        return None
    version = {3: 1, 2: 2, 0: 25}.get(data[offset + 1] >> 3 & 3)
    bitrate, rate = data[offset + 2] >> 4, data[offset + 2] >> 2 & 3
    if version is None or bitrate in (0, 15) or rate == 3:
        return None
    mono = data[offset + 3] >> 6 == 3
    hertz = _RATES_HZ[rate] // {1: 1, 2: 2, 25: 4}[version]
    samples = 1152 if version == 1 else 576
    kbps = _BITRATES_KBPS[1 if version == 1 else 2][bitrate]
    length = samples // 8 * kbps * 1000 // hertz + (data[offset + 2] >> 1 & 1)
    side_info = 4 + ((17 if mono else 32) if version == 1 else (9 if mono else 17))
    return Mp3Frame(hertz, samples, length, side_info)


def adts_length(data: bytes, offset: int = 0) -> int | None:
    """Bytes of the ADTS frame at ``offset``; None when there is none."""
    header = data[offset : offset + 7]
    if len(header) < 7 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 15 > 12:
        return None
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return length if length >= 7 else None


def first_mp3(data: bytes) -> int | None:
    """Offset of the first of several consecutive layer III frames of one rate; None when there are none."""
    return _first(data, is_mp3)


def first_adts(data: bytes) -> int | None:
    """Offset of the first of several consecutive ADTS frames; None when there are none."""
    return _first(data, is_adts)


def is_mp3(data: bytes, offset: int = 0, reach: int = 0) -> bool:
    """Whether consecutive layer III frames of one rate begin at ``offset`` and continue for ``reach`` bytes or more."""
    return _is_run(data, offset, reach, _mp3_rate_and_length)


def is_adts(data: bytes, offset: int = 0, reach: int = 0) -> bool:
    """Whether consecutive ADTS frames of one rate begin at ``offset`` and continue for ``reach`` bytes or more."""
    return _is_run(data, offset, reach, _adts_rate_and_length)


def _first(data: bytes, begins: Callable[[bytes, int], bool]) -> int | None:
    offset = data.find(b"\xff")
    while offset >= 0:
        if begins(data, offset):
            return offset
        offset = data.find(b"\xff", offset + 1)
    return None


def _is_run(
    data: bytes, offset: int, reach: int, rate_and_length: Callable[[bytes, int], tuple[int, int] | None]
) -> bool:
    rate, begin, frames = None, offset, 0
    while frames < _FRAMES_IN_A_ROW or offset - begin <= reach:
        frame = rate_and_length(data, offset)
        if frame is None or rate not in (None, frame[0]):
            return False
        rate = frame[0]
        offset += frame[1]
        frames += 1
        if offset >= len(data):
            # A file of one or two frames alone; in the middle of a file they occur by chance.
            return begin == 0 or frames >= _FRAMES_IN_A_ROW
    return True


def _mp3_rate_and_length(data: bytes, offset: int) -> tuple[int, int] | None:
    frame = mp3_frame(data, offset)
    return (frame.rate, frame.length) if frame else None


def _adts_rate_and_length(data: bytes, offset: int) -> tuple[int, int] | None:
    length = adts_length(data, offset)
    return (data[offset + 2] >> 2 & 15, length) if length else None


def stated_seconds(data: bytes, offset: int) -> float | None:
    """The length in an encoder's Xing or Info tag in the first frame, seconds; None without a tag that counts frames.

    Without a tag a player can only guess the length from the file's size. An encoder's delay and padding take at least
    two of the counted frames, which are subtracted.
    """
    frame = mp3_frame(data, offset)
    if frame is None:
        return None
    tag = offset + frame.side_info
    if data[tag : tag + 4] not in (b"Xing", b"Info") or tag + 12 > len(data) or not data[tag + 7] & 1:
        return None
    count = int.from_bytes(data[tag + 8 : tag + 12], "big")
    return max(0, count - _ENCODER_FRAMES) * frame.samples / frame.rate
