"""Frame headers of MPEG audio: MP3 (ISO/IEC 11172-3, 13818-3 layer III) and AAC in ADTS (ISO/IEC 13818-7)."""

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
    offset = data.find(b"\xff")
    while offset >= 0:
        if _mp3_run(data, offset):
            return offset
        offset = data.find(b"\xff", offset + 1)
    return None


def _mp3_run(data: bytes, offset: int) -> bool:
    rate = None
    for _ in range(_FRAMES_IN_A_ROW):
        frame = mp3_frame(data, offset)
        if frame is None or rate not in (None, frame.rate):
            return False
        rate = frame.rate
        offset += frame.length
        if offset >= len(data):
            break
    return True


def is_adts(data: bytes) -> bool:
    """Whether the data begins with consecutive ADTS frames."""
    offset = 0
    for _ in range(_FRAMES_IN_A_ROW):
        length = adts_length(data, offset)
        if length is None:
            return False
        offset += length
        if offset >= len(data):
            break
    return True


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
