"""The denoising loop: windows, three guidance branches, Euler steps."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from stages.infer.sonic.nets.unet.context import Context, FaceMask, ProjectedSpeech, TokenContext
from stages.infer.sonic.nets.unet.model import SonicUNet
from stages.infer.sonic.nets.unet.optimization import OptimizationFlags
from stages.infer.sonic.schedule import Schedule, euler_step, karras, scale_input
from stages.infer.sonic.windows import Windows

BRANCHES = 3
"""Guidance branches: unconditional; image; image and audio."""


@dataclass(frozen=True)
class Conditioning:
    """Inputs of the UNet beside the latents, on its device and in its dtype, for T frames at 12.5 a second.

    portrait [1, 4, h, w]: latents, unscaled; image [1, D]: image embedding; speech [T, n, D], silence [n, D]: audio
    tokens of each frame, and of silence; motion float32 [T, 2]: motion buckets; mask [1, 1, H, W]: the face.
    """

    portrait: Tensor
    image: Tensor
    speech: Tensor
    silence: Tensor
    motion: Tensor
    mask: Tensor | None


@dataclass(frozen=True)
class DenoiseParams:
    """Parameters of the loop.

    steps, strength: of the schedule; window, overlap, shift: frames, see ``Windows``; image_guidance, audio_guidance:
    scales at the first and at the last step; fps: the frame rate that the network is given; audio_scale: weight of the
    audio attention; batch_size: branches of windows in one call (3: those of one window; 1: the least memory; 6: those
    of two windows).
    """

    steps: int = 25
    strength: float = 1.0
    window: int = 25
    overlap: int = 0
    shift: int = 7
    image_guidance: tuple[float, float] = (2.0, 2.0)
    audio_guidance: tuple[float, float] = (7.5, 7.5)
    fps: float = 12.5
    audio_scale: float = 1.0
    batch_size: int = BRANCHES
    optimization: OptimizationFlags = field(default_factory=OptimizationFlags)

    @property
    def schedule(self) -> Schedule:
        """Noise levels of the steps that run."""
        return karras(self.steps, self.strength)

    def window_count(self, frames: int) -> int:
        """Windows of all steps together."""
        return self.schedule.steps * self.windows(frames).count

    def windows(self, frames: int) -> Windows:
        """Windows over a clip of that many frames."""
        return Windows(frames, self.window, self.overlap, self.shift)


@dataclass(frozen=True)
class WindowResult:
    """One window at one step. index int64 [F]: its frames; time_ids float32 [3]; v [3, F, 4, h, w]: its branches."""

    index: Tensor
    time_ids: Tensor
    v: Tensor


def initial_latents(conditioning: Conditioning, noise: Tensor, params: DenoiseParams, scaling_factor: float) -> Tensor:
    """First latents [1, T, 4, h, w]: the scaled portrait in every frame, plus noise of the first level."""
    return scaling_factor * conditioning.portrait[:, None].to(noise) + params.schedule.sigmas[0].item() * noise


@torch.inference_mode()
def denoise(
    unet: SonicUNet,
    conditioning: Conditioning,
    latents: Tensor,
    params: DenoiseParams,
    *,
    start_step: int = 0,
    on_call: Callable[[int, int], None] = lambda _done, _total: None,
    on_step: Callable[[int, Tensor], None] = lambda _step, _latents: None,
    on_window: Callable[[WindowResult], None] | None = None,
) -> Tensor:
    """Denoise a clip; returns latents [1, T, 4, h, w].

    ``latents`` may be on any device and keep their dtype: only a window at a time goes to the network's device.
    ``on_call(done, total)`` is called before every group of windows and may raise to stop. ``on_step(step, latents)``
    is called after every step: a later call with these latents and ``start_step=step`` gives the same result.
    """
    schedule, windows = params.schedule, params.windows(latents.shape[1])
    image_guidance = torch.linspace(*params.image_guidance, schedule.steps).tolist()
    audio_guidance = torch.linspace(*params.audio_guidance, schedule.steps).tolist()
    network = _Network(unet, conditioning, params)
    exact = torch.promote_types(latents.dtype, torch.float32)
    total = schedule.steps * windows.count
    for step in range(start_step, schedule.steps):
        sigma, next_sigma = schedule.sigmas[step].item(), schedule.sigmas[step + 1].item()
        index, done = windows.index(step), step * windows.count
        summed = torch.zeros_like(latents[0])

        def before_batch(batch: Sequence[tuple[int, int]], done: int = done) -> None:
            on_call(done + batch[0][0], total)

        scaled = scale_input(latents[0], sigma)
        for number, v in network.windows(scaled, schedule.times[step], index, before_batch):
            if on_window is not None:
                on_window(WindowResult(index[number], network.time_ids(index[number]), v))
            unconditional, image, speech = v.to(summed.device)
            guided = (
                unconditional + image_guidance[step] * (image - unconditional) + audio_guidance[step] * (speech - image)
            )
            stepped = euler_step(latents[0, index[number]].to(exact), guided.to(exact), sigma, next_sigma)
            summed.index_add_(0, index[number].to(summed.device), stepped.to(summed.dtype))
        latents = (summed / windows.visits(step).to(summed)[:, None, None, None])[None]
        on_step(step + 1, latents)
    return latents


class _Network:
    """The UNet with everything that is constant over a render."""

    def __init__(self, unet: SonicUNet, conditioning: Conditioning, params: DenoiseParams) -> None:
        self._unet, self._conditioning, self._params = unet, conditioning, params
        self._mask = FaceMask(conditioning.mask)
        # Row 0: no image; row 1: the portrait's.
        self._images = torch.cat([torch.zeros_like(conditioning.image), conditioning.image])[:, None]
        self._portraits = torch.cat([torch.zeros_like(conditioning.portrait), conditioning.portrait])
        self._tokens = torch.cat([conditioning.speech, conditioning.silence[None]])
        self._projected = (
            ProjectedSpeech(unet.cross_attentions, self._tokens, self._images)
            if params.optimization.cached_audio
            else None
        )

    def windows(
        self, scaled: Tensor, time: Tensor, index: Tensor, before_batch: Callable[[Sequence[tuple[int, int]]], None]
    ) -> Iterator[tuple[int, Tensor]]:
        """Number and v [3, F, 4, h, w] of each window; ``before_batch`` gets the (window, branch) pairs of a call."""
        pairs = [(number, branch) for number in range(len(index)) for branch in range(BRANCHES)]
        incomplete: dict[int, list[Tensor]] = {}
        for first in range(0, len(pairs), self._params.batch_size):
            batch = pairs[first : first + self._params.batch_size]
            before_batch(batch)
            for (number, _), v in zip(batch, self._call(scaled, time, index, batch), strict=True):
                incomplete.setdefault(number, []).append(v)
                if len(incomplete[number]) == BRANCHES:
                    yield number, torch.stack(incomplete.pop(number))

    def _call(self, scaled: Tensor, time: Tensor, index: Tensor, batch: Sequence[tuple[int, int]]) -> Tensor:
        device, dtype = self._conditioning.portrait.device, self._conditioning.portrait.dtype
        images = [int(branch > 0) for _, branch in batch]
        frames = torch.stack([index[number] for number, _ in batch])
        noisy = scaled[frames.to(scaled.device)].to(device, dtype)
        portraits = self._portraits[images][:, None].expand(-1, frames.shape[1], -1, -1, -1)
        silence = torch.full_like(index[0], len(self._tokens) - 1)
        audio = torch.stack([silence if branch < 2 else index[number] for number, branch in batch])
        time_ids = torch.stack([self.time_ids(index[number]) for number, _ in batch])
        v: Tensor = self._unet(
            torch.cat([noisy, portraits], dim=2),
            time.to(device),
            self._context(audio.to(device), images),
            time_ids.to(device),
        )
        return v

    def time_ids(self, index: Tensor) -> Tensor:
        """float32 [3]: frames a second and the mean motion buckets of a window."""
        motion = self._conditioning.motion[index.to(self._conditioning.motion.device)].mean(0)
        return torch.cat([motion.new_tensor([self._params.fps]), motion])

    def _context(self, audio: Tensor, images: Sequence[int]) -> Context:
        scale = self._params.audio_scale
        if self._projected is not None:
            return self._projected.window(audio, images, self._mask, scale)
        image = self._images[list(images)][:, None].expand(-1, audio.shape[1], -1, -1)
        shared = self._params.optimization.shared_context
        return TokenContext(image, self._tokens[audio], self._mask, scale=scale, shared=shared)
