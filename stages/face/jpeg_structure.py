"""The structure of a JPEG file: its scans, what they contain, and its end (ISO/IEC 10918-1, annex B).

A progressive picture is decoded in passes over all of its pixels, and a scan of 75 bytes is a whole pass: a file within
every size limit can take hours to decode. Encoders write 3 to 20 scans.
"""

from dataclasses import dataclass, field

from stages.face.jpeg_segments import EOI, SOS, JpegOverlong, segments

MAX_SCANS = 200
MAX_PASSES_PIXELS = 1_300_000_000
"""Scans times pixels: 20 scans of 65 megapixels, 200 of 6.5. Each takes 2 to 3 ns."""

_SEQUENTIAL, _PROGRESSIVE = frozenset((0xC0, 0xC1, 0xC9)), frozenset((0xC2, 0xCA))
_COEFFICIENTS = 64


@dataclass
class JpegStructure:
    """The first picture of a JPEG file.

    scans: at most ``MAX_SCANS`` + 1; end: offset of its end marker, None when it has none.
    """

    scans: int = 0
    end: int | None = None
    _progressive: bool = False
    # For each component the lowest bit that was sent of each coefficient, None before the first scan that has it.
    _sent: dict[int, list[int | None]] = field(default_factory=dict)

    @property
    def has_all_scans(self) -> bool:
        """Whether the scans contain every coefficient of every component to its last bit."""
        return bool(self._sent) and all(bits == [0] * _COEFFICIENTS for bits in self._sent.values())

    def add_frame(self, marker: int, segment: bytes) -> None:
        """Read a frame header (SOF): precision, height, width, number of components, three bytes for each."""
        self._progressive = marker in _PROGRESSIVE
        self._sent = {component: [None] * _COEFFICIENTS for component in segment[6::3]}

    def add_scan(self, segment: bytes) -> None:
        """Read a scan header (SOS): its components, then the range of coefficients and their bits."""
        self.scans += 1
        parameters = segment[1 + 2 * segment[0] :] if segment else b""
        first, last, low = 0, _COEFFICIENTS - 1, 0
        if self._progressive and len(parameters) >= 3:
            first, last, low = parameters[0], min(parameters[1], _COEFFICIENTS - 1), parameters[2] & 15
        for component in segment[1 : len(segment) - len(parameters) : 2]:
            if component in self._sent and first <= last:
                self._sent[component][first : last + 1] = [low] * (last + 1 - first)


def read_structure(data: bytes) -> JpegStructure:
    """Read the structure of the first picture in the JPEG file ``data``.

    Segments are skipped by their length, so a preview inside them does not count, nor what follows the picture. Raises
    JpegOverlong.
    """
    picture = JpegStructure()
    for marker, start, end in segments(data):
        if marker == EOI:
            picture.end = len(data[:start].rstrip(b"\xff"))  # fill bytes before the marker are no data
        elif marker in _SEQUENTIAL or marker in _PROGRESSIVE:
            picture.add_frame(marker, data[start + 4 : end])
        elif marker == SOS:
            picture.add_scan(data[start + 4 : end])
            if picture.scans > MAX_SCANS:
                break
    return picture


def require_few_passes(scans: int, pixels: int) -> None:
    """Check what all passes over the picture cost together. Raises JpegOverlong."""
    if scans * pixels > MAX_PASSES_PIXELS:
        most = MAX_PASSES_PIXELS // pixels
        raise JpegOverlong(f"it has {scans} scans, and {pixels / 1e6:.0f} megapixels may have {most}")
