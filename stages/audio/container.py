"""What is known of a file before libav opens it: its container, the part that holds the sound, the stated length."""

from dataclasses import dataclass

RATES_HZ = range(1000, 384_001)
MAX_CHANNELS = 8


@dataclass(frozen=True, slots=True)
class PcmLayout:
    """What a file of bare samples does not state by itself."""

    rate: int
    channels: int
    mask: int = 0
    """Speakers as WAVE_FORMAT_EXTENSIBLE numbers them, one bit each; 0: the usual ones for that many channels."""

    def options(self) -> dict[str, str]:
        """As options of libav's demuxers of bare samples."""
        whole = self.mask.bit_count() == self.channels
        layout = f"0x{self.mask:x}" if whole else f"{self.channels}c"
        return {"sample_rate": str(self.rate), "ch_layout": layout}


@dataclass(frozen=True, slots=True)
class Container:
    """A container and the length that it states."""

    demuxer: str
    """libav's name; the name of a sample format for bare samples."""
    start: int = 0
    """Offset of the first byte that libav reads."""
    end: int | None = None
    """Offset after the last byte that libav reads; None: the end of the file."""
    pcm: PcmLayout | None = None
    """Set for bare samples."""
    states_length: bool = False
    """The header has a length that libav reports unchanged, so it can be compared with the samples."""
    stated_s: float | None = None
    """The length in a header that libav replaces by its own guess, seconds."""
    missing: float = 0.0
    """Share of the stated bytes that are missing, 0..1."""
    gain: float = 1.0
    """What the decoded samples are multiplied by."""
