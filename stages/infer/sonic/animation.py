"""Decodes latents into the video's frames on demand."""

from collections.abc import Iterator, Mapping
from itertools import islice

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from shared.slot.records import Scalar
from stages.infer.engine import Frame
from stages.infer.sonic.fallback import smaller_on_out_of_memory
from stages.infer.sonic.meter import Meter
from stages.infer.sonic.networks import Networks
from stages.infer.sonic.presets import Plan
from stages.infer.sonic.video import decode_chunks, interpolate, pictures, to_uint8


class SonicAnimation:
    """One denoised render. Decodes, interpolates and resizes frames as they are taken; holds one chunk at a time."""

    def __init__(
        self,
        networks: Networks,
        latents: Tensor,
        plan: Plan,
        size: tuple[int, int],
        frames: int,
        prepare_cost: int,
        meter: Meter,
        metrics: Mapping[str, Scalar],
    ) -> None:
        """size: width and height of the video; frames: its length, at least what the latents decode to."""
        self._networks, self._latents, self._plan = networks, latents, plan
        self._size, self._frames, self._prepare_cost = size, frames, prepare_cost
        self._meter, self._metrics = meter, metrics
        self._next = 0
        self._stream = self._padded()

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self._frames

    @property
    def prepare_cost(self) -> int:
        """Cost of denoising, in frames."""
        return self._prepare_cost

    def render(self, start: int, stop: int) -> Iterator[Frame]:
        """Frames start..stop-1. Raises ValueError when ``start`` is not the next frame: no frame is kept."""
        if start != self._next:
            raise ValueError(f"frame {start} was requested, {self._next} is the next")
        self._next = stop
        return islice(self._stream, stop - start)

    def metrics(self) -> Mapping[str, Scalar]:
        """Guidance, windows and what the render took of the machine."""
        return {**self._metrics, **self._meter.metrics()}

    def _padded(self) -> Iterator[Frame]:
        """The model draws 2 T - 1 frames, up to three less than the speech is long: the last one is repeated."""
        last: Frame | None = None
        count = 0
        for frame in islice(self._drawn(), self._frames):
            last, count = frame, count + 1
            yield frame
        if last is None:
            raise RuntimeError("the model drew no frame")
        for _ in range(self._frames - count):
            yield last

    def _drawn(self) -> Iterator[Frame]:
        """Every frame of the latents once; after running out of memory the clip is decoded again in smaller chunks."""
        count = 0
        for attempt in smaller_on_out_of_memory(self._plan.decode_fallbacks()):
            with attempt as plan:
                for frame in islice(self._decoded(plan), count, None):
                    count += 1
                    yield frame
                return

    def _decoded(self, plan: Plan) -> Iterator[Frame]:
        drawn = pictures(decode_chunks(self._networks.vae, self._latents, plan.decode_chunk, plan.decode_overlap))
        doubled = interpolate(self._networks.rife, drawn) if plan.interpolate else repeat_twice(drawn)
        while True:
            with self._meter.device_time(), torch.inference_mode():
                picture = next(doubled, None)
                if picture is None:
                    return
                pixels = to_uint8(picture, plan.rounding)[0].cpu().numpy()
            yield self._resized(pixels)

    def _resized(self, pixels: Frame) -> Frame:
        """Resize to the announced size: the model draws multiples of 64."""
        if pixels.shape[1::-1] == self._size:
            return pixels
        return np.asarray(Image.fromarray(pixels).resize(self._size, Image.Resampling.LANCZOS))


def repeat_twice(frames: Iterator[Tensor]) -> Iterator[Tensor]:
    """12.5 frames a second as 25."""
    for frame in frames:
        yield frame
        yield frame
