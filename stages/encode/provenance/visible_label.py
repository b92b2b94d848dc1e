"""Burns a text into the first frames of a video: white on a dark, translucent box in a corner."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.messages.engines import FPS
from shared.slot.frames.frame import Frame
from shared.slot.marking import Label

_GLYPHS = Path(__file__).with_name("glyphs.npz")
_BLACK, _WHITE, _NO_COLOUR = 16.0, 235.0, 128.0
"""Of limited range."""
_BOX_OPACITY = 0.6
_PADDING, _MARGIN = 0.5, 0.6
"""Of the height of a capital letter: around the text, and from the box to the picture's edges."""

_Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class _Glyphs:
    """Coverage 0..255 of all characters side by side: uint8 [height, sum of widths]."""

    columns: dict[str, slice]
    coverage: NDArray[np.uint8]
    capital_height: int


@cache
def _glyphs() -> _Glyphs:
    with np.load(_GLYPHS, allow_pickle=False) as stored:
        edges = stored["edges"].tolist()
        columns = {one: slice(edges[n], edges[n + 1]) for n, one in enumerate(str(stored["characters"]))}
        return _Glyphs(columns, stored["coverage"], int(stored["capital_height"]))


def text_mask(text: str, capital_height: float, max_width: int) -> _Floats:
    """Coverage of a line of text, float32 [height, width] in 0..1, with capital letters of that height in pixels.

    A text that would be wider than ``max_width`` pixels is drawn smaller. Raises KeyError for a character without a
    glyph.
    """
    glyphs = _glyphs()
    line = np.concatenate([glyphs.coverage[:, glyphs.columns[one]] for one in text], axis=1)
    rows = np.flatnonzero(line.any(axis=1))
    line = line[rows[0] : rows[-1] + 1]
    scale = min(capital_height / glyphs.capital_height, max_width / line.shape[1])
    height, width = (max(1, round(size * scale)) for size in line.shape)
    by_row = _averages(line.astype(np.float32) / np.float32(255), height)
    return _averages(by_row.T, width).T


def _averages(values: _Floats, count: int) -> _Floats:
    """``count`` rows, each the average of the rows that it covers; for fewer rows than there are, or more."""
    edges = np.linspace(0, len(values), count + 1)
    sums = np.vstack([np.zeros((1, values.shape[1]), np.float32), np.cumsum(values, axis=0, dtype=np.float64)])
    whole = np.minimum(edges.astype(int), len(values) - 1)
    at_edges = sums[whole] + (edges - whole)[:, None] * values[whole]
    averages: _Floats = (np.diff(at_edges, axis=0) / np.diff(edges)[:, None]).astype(np.float32)
    return averages


class VisibleLabel:
    """The label of one video; width and height are the picture's, in pixels, and even."""

    def __init__(self, label: Label, width: int, height: int) -> None:
        self.frames = round(label.seconds * FPS)
        """Number of frames that bear it."""
        capital = np.ceil(label.height * min(width, height))
        padding, margin = round(_PADDING * capital), round(_MARGIN * capital)
        text = text_mask(label.text, float(capital), max(2, width - 2 * (padding + margin)))
        rows, columns = (size + 2 * padding + (size % 2) for size in text.shape)
        coverage = np.zeros((rows, columns), np.float32)
        coverage[padding : padding + text.shape[0], padding : padding + text.shape[1]] = text
        self._height = height
        vertical, horizontal = label.position.split("-")
        # Chroma has half the resolution: the box lies on even pixels.
        self.top = _even(margin if vertical == "top" else height - margin - rows)
        self.left = _even(margin if horizontal == "left" else width - margin - columns)
        self.box = (rows, columns)
        keeps = (1 - _BOX_OPACITY) * (1 - coverage)
        self._luma = keeps, _BLACK * _BOX_OPACITY * (1 - coverage) + _WHITE * coverage
        quarter = keeps.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))
        self._chroma = quarter, _NO_COLOUR * (1 - quarter)

    def burn(self, frames: Iterable[Frame], first: int) -> Iterator[Frame]:
        """The same frames, of which the first has the number ``first`` in the video; those with the label as copies."""
        for number, frame in enumerate(frames, first):
            yield self._drawn(frame) if number < self.frames else frame

    def _drawn(self, frame: Frame) -> Frame:
        drawn = frame.copy()
        planes = drawn.reshape(-1)
        height, width = self._height, frame.shape[1]
        luma, chroma = height * width, height * width // 4
        _blend(planes[:luma].reshape(height, width), self.top, self.left, *self._luma)
        for start in (luma, luma + chroma):
            plane = planes[start : start + chroma].reshape(height // 2, width // 2)
            _blend(plane, self.top // 2, self.left // 2, *self._chroma)
        return drawn


def _even(position: int) -> int:
    return max(0, position - position % 2)


def _blend(plane: Frame, top: int, left: int, keeps: _Floats, adds: _Floats) -> None:
    region = plane[top : top + keeps.shape[0], left : left + keeps.shape[1]]
    keeps, adds = keeps[: region.shape[0], : region.shape[1]], adds[: region.shape[0], : region.shape[1]]
    region[:] = np.rint(region * keeps + adds).astype(np.uint8)
