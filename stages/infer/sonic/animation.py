"""From latents to the video's frames, while they are asked for."""

from collections.abc import Iterator, Mapping
from itertools import islice

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from shared.slot.records import Scalar
from stages.infer.engine import Frame
from stages.infer.sonic.fitting import fitting
from stages.infer.sonic.meter import Meter
from stages.infer.sonic.networks import Networks
from stages.infer.sonic.presets import Plan
from stages.infer.sonic.video import decode_chunks, interpolate, pictures, to_uint8


class SonicAnimation:
    """One render, denoised: decodes, interpolates and resizes as frames are taken; holds a chunk at a time."""

    def __init__(
        self,
        networks: Networks,
        latents: Tensor,
        plan: Plan,
        size: tuple[int, int],
        frames: int,
        lead: int,
        meter: Meter,
        figures: Mapping[str, Scalar],
    ) -> None:
        """size: width and height of the video; frames: how many it has, at least those that the latents give."""
        self._networks, self._latents, self._plan = networks, latents, plan
        self._size, self._frames, self._lead = size, frames, lead
        self._meter, self._figures = meter, figures
        self._at = 0
        self._stream = self._padded()

    @property
    def frames(self) -> int:
        """How many there are."""
        return self._frames

    @property
    def lead(self) -> int:
        """What denoising took, in frames' worth."""
        return self._lead

    def render(self, start: int, stop: int) -> Iterator[Frame]:
        """Frames start..stop-1. Raises ValueError out of order: nothing is kept."""
        if start != self._at:
            raise ValueError(f"frame {start} was asked for, {self._at} is the next")
        self._at = stop
        return islice(self._stream, stop - start)

    def figures(self) -> Mapping[str, Scalar]:
        """Guidance, windows and what the render took of the machine."""
        return {**self._figures, **self._meter.figures()}

    def _padded(self) -> Iterator[Frame]:
        """The model draws 2 T - 1 frames, up to three less than the speech is long: the last is held."""
        last: Frame | None = None
        given = 0
        for frame in islice(self._drawn(), self._frames):
            last, given = frame, given + 1
            yield frame
        if last is None:
            raise RuntimeError("the model drew no frame")
        for _ in range(self._frames - given):
            yield last

    def _drawn(self) -> Iterator[Frame]:
        """Every frame of the latents, once; after running out of memory the clip is decoded anew in smaller chunks."""
        given = 0
        for attempt in fitting(self._plan.decoding()):
            with attempt as smaller:
                for frame in islice(self._decoded(smaller), given, None):
                    given += 1
                    yield frame
                return

    def _decoded(self, plan: Plan) -> Iterator[Frame]:
        single = pictures(decode_chunks(self._networks.vae, self._latents, plan.chunk, plan.chunk_overlap))
        moving = interpolate(self._networks.rife, single) if plan.interpolate else held_twice(single)
        while True:
            with self._meter.held(), torch.inference_mode():
                picture = next(moving, None)
                if picture is None:
                    return
                pixels = to_uint8(picture, plan.rounding)[0].cpu().numpy()
            yield self._resized(pixels)

    def _resized(self, pixels: Frame) -> Frame:
        """To the size that was announced: the model draws multiples of 64."""
        if pixels.shape[1::-1] == self._size:
            return pixels
        return np.asarray(Image.fromarray(pixels).resize(self._size, Image.Resampling.LANCZOS))


def held_twice(frames: Iterator[Tensor]) -> Iterator[Tensor]:
    """12.5 frames a second shown at 25."""
    for frame in frames:
        yield frame
        yield frame
