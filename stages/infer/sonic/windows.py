"""Windows over a clip of any length (Sonic, section 3.4: time-aware position shift).

The network sees a fixed number of frames. Windows cover the clip as a ring and are shifted at every step, so that seams
do not stay in one place.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows over a clip, in frames.

    frames: length of the clip; size: of a window; overlap: shared by neighbouring windows; shift: by which windows move
    back at every step. Raises ValueError for a clip without frames or an overlap that is not below ``size``.
    """

    frames: int
    size: int = 25
    overlap: int = 0
    shift: int = 7

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"frames: {self.frames}; a clip has at least one")
        if not 0 <= self.overlap < self.size:
            raise ValueError(f"overlap: {self.overlap}; allowed: 0 to {self.size - 1}")

    @property
    def count(self) -> int:
        """Windows in one step."""
        return math.ceil(self.frames / (self.size - self.overlap))

    def starts(self, step: int) -> list[int]:
        """First frame of each window at a step, not yet modulo the clip's length."""
        return [n * (self.size - self.overlap) - self.shift * step for n in range(self.count)]

    def index(self, step: int) -> Tensor:
        """Frame indices of each window: int64 [count, size], 0..frames-1; a short clip repeats within a window."""
        starts = torch.tensor(self.starts(step))
        return (starts[:, None] + torch.arange(self.size)) % self.frames

    def visits(self, step: int) -> Tensor:
        """Number of windows that contain each frame at a step: int64 [frames], each at least 1."""
        return torch.bincount(self.index(step).flatten(), minlength=self.frames)
