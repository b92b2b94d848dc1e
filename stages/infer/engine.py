"""The interface of an engine: portrait and speech in, frames out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from shared.messages.engines import FPS
from shared.slot.api import Context
from shared.slot.records import Scalar

Frame = npt.NDArray[np.uint8]
"""RGB [H, W, 3]."""


def frame_count(duration_s: float) -> int:
    """Frames of a speech of that length at 25 a second, rounded, at least one."""
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
    """The speech to animate to.

    pcm: float32 [n] mono at 16 kHz; mel: float32 [80, T] Whisper's log-mel, 100 a second; tracks: float32 [3, T] F0 in
    Hz (0 unvoiced), voicing 0..1, level in dBFS; duration_s: the true length; silent: it holds no audible speech.
    """

    pcm: npt.NDArray[np.float32]
    mel: npt.NDArray[np.float32]
    tracks: npt.NDArray[np.float32]
    duration_s: float
    silent: bool


@dataclass(frozen=True)
class RenderParams:
    """The request's parameters that concern every engine.

    steps: requested denoising steps; dynamic_scale: 0.5..2, motion amplitude; seed: 0..2^32-1, the same request on the
    same machine gives the same bytes.
    """

    steps: int
    dynamic_scale: float
    seed: int


class Animation(Protocol):
    """A prepared render."""

    @property
    def frames(self) -> int:
        """Number of frames: ``frame_count`` of the speech."""

    @property
    def prepare_cost(self) -> int:
        """Cost of ``prepare`` in frames, as in its last call of ``Context.progress``."""

    def render(self, start: int, stop: int) -> Iterator[Frame]:
        """Frames start..stop-1 in order, uint8 RGB [H, W, 3], all of the portrait's size.

        Called once for each range, from the first frame to the last.
        """

    def metrics(self) -> Mapping[str, Scalar]:
        """Attributes of the span ``run_inference`` that only this engine has; called after the last frame."""


class Engine(Protocol):
    """Loaded once in a worker process; then prepares one animation after the other."""

    @property
    def name(self) -> str:
        """Name as in the request."""

    def load(self) -> None:
        """Read weights.

        Raises shared.slot.api.Unavailable when something is missing that an operator can provide: the service then
        stays up without taking tasks, and retries. Any other exception ends the service.
        """

    def prepare(
        self, portrait: Portrait, speech: Speech, render: RenderParams, params: BaseModel, context: Context
    ) -> Animation:
        """Do the work that is not per frame.

        params: the engine's own model from shared.messages.engines. An engine that works long here calls
        ``context.progress(done, prepare_cost + frames)``, which raises Cancelled, and may save checkpoints.
        """
