"""Bare PCM samples in a file: libav's demuxers of bare samples read them, so that no header reaches libav."""

from dataclasses import dataclass

from stages.audio.container import MAX_CHANNELS, RATES_HZ, Container, PcmLayout
from stages.audio.rejections import empty, unreadable

_UNKNOWN_SIZE = 0x7FFF0000
"""Programs that write into a pipe leave a size near 2 or 4 GiB, some minus the header, or 0."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How one sample is stored."""

    demuxer: str
    """libav's name."""
    width: int
    """Bytes."""


def integers(width: int, *, big_endian: bool, signed_bytes: bool) -> Encoding | None:
    """Integers of 1 to 4 bytes; None for another width."""
    if width == 1:
        return Encoding("s8" if signed_bytes else "u8", 1)
    return Encoding(f"s{8 * width}{_suffix(big_endian)}", width) if 2 <= width <= 4 else None


def floats(width: int, *, big_endian: bool) -> Encoding | None:
    """Floats of 4 or 8 bytes; None for another width."""
    return Encoding(f"f{8 * width}{_suffix(big_endian)}", width) if width in (4, 8) else None


MU_LAW = Encoding("mulaw", 1)
A_LAW = Encoding("alaw", 1)


def stated_bytes(length: int) -> int | None:
    """The bytes of samples that a header states; None for a size that is no size."""
    return length if 0 < length < _UNKNOWN_SIZE else None


def pcm_container(encoding: Encoding, layout: PcmLayout, first: int, stated: int | None, size: int) -> Container:
    """The samples that begin at ``first`` in a file of ``size`` bytes; ``stated``: how many bytes its header states.

    Raises Rejected: AUDIO_EMPTY without a whole sample, AUDIO_UNREADABLE for a rate or channels out of range.
    """
    if not 1 <= layout.channels <= MAX_CHANNELS or layout.rate not in RATES_HZ:
        raise unreadable(f"The speech file has {layout.channels} channels at {layout.rate} Hz.")
    present = max(0, size - first if stated is None else min(stated, size - first))
    missing = 1 - present / stated if stated else 0.0
    present -= present % (layout.channels * encoding.width)
    if not present and not missing:
        raise empty("The speech file holds no samples.")
    return Container(encoding.demuxer, first, first + present, pcm=layout, missing=missing)


def _suffix(big_endian: bool) -> str:
    return "be" if big_endian else "le"
