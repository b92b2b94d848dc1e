"""Frame headers of MPEG audio: MP3 (ISO/IEC 11172-3, 13818-3 layer III) and AAC in ADTS (ISO/IEC 13818-7)."""

from dataclasses import dataclass

_BITRATES_KBPS = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = (44_100, 48_000, 32_000)
_FRAMES_IN_A_ROW = 3
"""Sync words occur by chance in any file; as many matching headers at the right distances do not."""
_ENCODER_FRAMES = 2


@dataclass(frozen=True, slots=True)
class Mp3Frame:
    """One layer III frame header."""

    rate: int
    samples: int
    length: int
    """Bytes, header included."""
    side_info: int
    """Offset of the main data, where an encoder's Xing or Info tag stands."""


def mp3_frame(data: bytes, at: int = 0) -> Mp3Frame | None:
    """Read the layer III header at ``at``; None when there is none."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE6 != 0xE2:
        return None
    version = {3: 1, 2: 2, 0: 25}.get(data[at + 1] >> 3 & 3)
    bitrate, rate = data[at + 2] >> 4, data[at + 2] >> 2 & 3
    if version is None or bitrate in (0, 15) or rate == 3:
        return None
    mono = data[at + 3] >> 6 == 3
    hertz = _RATES_HZ[rate] // {1: 1, 2: 2, 25: 4}[version]
    samples = 1152 if version == 1 else 576
    kbps = _BITRATES_KBPS[1 if version == 1 else 2][bitrate]
    length = samples // 8 * kbps * 1000 // hertz + (data[at + 2] >> 1 & 1)
    side_info = 4 + ((17 if mono else 32) if version == 1 else (9 if mono else 17))
    return Mp3Frame(hertz, samples, length, side_info)


def adts_length(data: bytes, at: int = 0) -> int | None:
    """Bytes of the ADTS frame at ``at``; None when there is none."""
    if at + 7 > len(data) or data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0 or data[at + 2] >> 2 & 15 > 12:
        return None
    length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    return length if length >= 7 else None


def first_mp3(data: bytes) -> int | None:
    """Offset of the first of several consecutive layer III frames of one rate; None when there are none."""
    at = data.find(b"\xff")
    while at >= 0:
        if _mp3_run(data, at):
            return at
        at = data.find(b"\xff", at + 1)
    return None


def _mp3_run(data: bytes, at: int) -> bool:
    rate = None
    for _ in range(_FRAMES_IN_A_ROW):
        frame = mp3_frame(data, at)
        if frame is None or rate not in (None, frame.rate):
            return False
        rate = frame.rate
        at += frame.length
        if at >= len(data):
            break
    return True


def is_adts(data: bytes) -> bool:
    """Whether the data begins with consecutive ADTS frames."""
    at = 0
    for _ in range(_FRAMES_IN_A_ROW):
        length = adts_length(data, at)
        if length is None:
            return False
        at += length
        if at >= len(data):
            break
    return True


def stated_seconds(data: bytes, at: int) -> float | None:
    """The length by an encoder's Xing or Info tag in the first frame, seconds; None without one that counts frames.

    Without one a player can only guess the length from the file's size. What an encoder puts before the sound and
    behind it takes at least two of the frames counted: they are left out.
    """
    frame = mp3_frame(data, at)
    if frame is None:
        return None
    tag = at + frame.side_info
    if data[tag : tag + 4] not in (b"Xing", b"Info") or tag + 12 > len(data) or not data[tag + 7] & 1:
        return None
    count = int.from_bytes(data[tag + 8 : tag + 12], "big")
    return max(0, count - _ENCODER_FRAMES) * frame.samples / frame.rate
