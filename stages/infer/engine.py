"""What an engine is: portrait and speech in, frames out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from shared.slot.api import Context
from shared.slot.records import Scalar

FPS = 25

Frame = npt.NDArray[np.uint8]
"""RGB [H, W, 3]."""


def frame_count(duration_s: float) -> int:
    """Frames of a speech of that length: the nearest whole number at 25 a second, at least one."""
    return max(1, round(duration_s * FPS))


@dataclass(frozen=True)
class Portrait:
    """The face to animate.

    image: uint8 [H, W, 3] RGB, the size of the video, both even; landmarks: float32 [478, 3] in its pixels, x, y and
    depth; mask: uint8 [H, W] soft mask of the face's oval; box: x0, y0, x1, y1 of the face in pixels.
    """

    image: Frame
    landmarks: npt.NDArray[np.float32]
    mask: npt.NDArray[np.uint8]
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Speech:
    """What to say.

    pcm: float32 [n] mono at 16 kHz; mel: float32 [80, T] Whisper's log-mel, 100 a second; tracks: float32 [3, T] F0 in
    Hz (0 unvoiced), voicing 0..1, level in dBFS; duration_s: the true length; silent: nothing audible in it.
    """

    pcm: npt.NDArray[np.float32]
    mel: npt.NDArray[np.float32]
    tracks: npt.NDArray[np.float32]
    duration_s: float
    silent: bool


@dataclass(frozen=True)
class Direction:
    """How to move: the request's parameters that concern every engine.

    steps: denoising steps asked for; dynamic_scale: 0.5..2, motion amplitude; seed: 0..2^32-1, the same request on the
    same machine gives the same bytes.
    """

    steps: int
    dynamic_scale: float
    seed: int


class Animation(Protocol):
    """A prepared render."""

    @property
    def frames(self) -> int:
        """How many there are; ``frame_count`` of the speech."""

    @property
    def lead(self) -> int:
        """What ``prepare`` took, in frames' worth of time: what it told ``Context.progress`` at its end."""

    def render(self, start: int, stop: int) -> Iterator[Frame]:
        """Frames start..stop-1 in order, uint8 RGB [H, W, 3], all of the portrait's size.

        Called once for each stretch, from the first frame to the last.
        """

    def figures(self) -> Mapping[str, Scalar]:
        """Attributes of the span ``run_inference`` beside those of every engine, once all frames are rendered."""


class Engine(Protocol):
    """Loaded once in a worker process; then prepares one animation after the other."""

    @property
    def name(self) -> str:
        """As in the request."""

    def load(self) -> None:
        """Read weights.

        Raises shared.slot.api.Unavailable for what an operator can put there: the service waits for it. Anything else
        that it raises ends the service.
        """

    def prepare(
        self, portrait: Portrait, speech: Speech, direction: Direction, params: BaseModel, context: Context
    ) -> Animation:
        """Do the work that is not per frame.

        params: the engine's own model from shared.messages.engines. An engine that works long here says
        ``context.progress(done, lead + frames)``, which also is where a cancel is noticed, and may save its state.
        """
