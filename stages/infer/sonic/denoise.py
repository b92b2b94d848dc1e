"""The denoising loop: windows, three guidance branches, Euler steps."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from stages.infer.sonic.nets.unet.context import Context, FaceMask, ProjectedSpeech, TokenContext
from stages.infer.sonic.nets.unet.model import SonicUNet
from stages.infer.sonic.nets.unet.switches import Switches
from stages.infer.sonic.schedule import Schedule, euler_step, karras, scale_input
from stages.infer.sonic.windows import Windows

BRANCHES = 3
"""Nothing given; the portrait; portrait and speech."""


@dataclass(frozen=True)
class Conditioning:
    """What the animation is of, on the network's device and in its type, T frames at 12.5 a second.

    portrait [1, 4, h, w]: latents, unscaled; image [1, D]: the image encoder's; speech [T, n, D], silence [n, D]: audio
    tokens of each frame, and of no audio; motion float32 [T, 2]: the two motion figures; mask [1, 1, H, W]: the face.
    """

    portrait: Tensor
    image: Tensor
    speech: Tensor
    silence: Tensor
    motion: Tensor
    mask: Tensor | None


@dataclass(frozen=True)
class Loop:
    """How to denoise.

    steps, strength: of the schedule; window, overlap, shift: frames, see ``Windows``; image_guidance, audio_guidance:
    from the first step to the last; fps: what the network is told; audio_scale: weight of the audio attention; rows:
    branches of windows in one call (3: a window's three; 1: the least memory; 6: two windows).
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
    rows: int = BRANCHES
    switches: Switches = field(default_factory=Switches)

    @property
    def schedule(self) -> Schedule:
        """Noise levels of the steps that run."""
        return karras(self.steps, self.strength)

    def calls(self, frames: int) -> int:
        """Windows to denoise in all."""
        return self.schedule.steps * self.windows(frames).count

    def windows(self, frames: int) -> Windows:
        """Windows over a clip of that many frames."""
        return Windows(frames, self.window, self.overlap, self.shift)


@dataclass(frozen=True)
class Call:
    """One window at one step, for those who watch. v [3, F, 4, h, w] of its branches."""

    index: Tensor
    time_ids: Tensor
    v: Tensor


def start(conditioning: Conditioning, noise: Tensor, loop: Loop, scaling: float) -> Tensor:
    """First latents [1, T, 4, h, w]: the scaled portrait in every frame, and noise of the first level."""
    return scaling * conditioning.portrait[:, None].to(noise) + loop.schedule.sigmas[0].item() * noise


@torch.inference_mode()
def denoise(
    unet: SonicUNet,
    conditioning: Conditioning,
    latents: Tensor,
    loop: Loop,
    *,
    start_step: int = 0,
    on_call: Callable[[int, int], None] = lambda _done, _total: None,
    on_step: Callable[[int, Tensor], None] = lambda _step, _latents: None,
    watch: Callable[[Call], None] | None = None,
) -> Tensor:
    """Latents [1, T, 4, h, w] without noise.

    ``latents`` may lie anywhere and keep their type: only a window at a time goes to the network's device.
    ``on_call(done, total)`` comes before every group of windows and may raise to stop; ``on_step(step, latents)`` after
    every step: a later call with these latents and ``start_step=step`` goes on from there with the same numbers.
    """
    schedule, windows = loop.schedule, loop.windows(latents.shape[1])
    image_guidance = torch.linspace(*loop.image_guidance, schedule.steps).tolist()
    audio_guidance = torch.linspace(*loop.audio_guidance, schedule.steps).tolist()
    network = _Network(unet, conditioning, loop)
    exact = torch.promote_types(latents.dtype, torch.float32)
    total = schedule.steps * windows.count
    for step in range(start_step, schedule.steps):
        sigma, following = schedule.sigmas[step].item(), schedule.sigmas[step + 1].item()
        index, done = windows.index(step), step * windows.count
        summed = torch.zeros_like(latents[0])

        def advance(rows: Sequence[tuple[int, int]], done: int = done) -> None:
            on_call(done + rows[0][0], total)

        scaled = scale_input(latents[0], sigma)
        for number, v in network.windows(scaled, schedule.times[step], index, advance):
            if watch is not None:
                watch(Call(index[number], network.time_ids(index[number]), v))
            nothing, image, speech = v.to(summed.device)
            guided = nothing + image_guidance[step] * (image - nothing) + audio_guidance[step] * (speech - image)
            stepped = euler_step(latents[0, index[number]].to(exact), guided.to(exact), sigma, following)
            summed.index_add_(0, index[number].to(summed.device), stepped.to(summed.dtype))
        latents = (summed / windows.visits(step).to(summed)[:, None, None, None])[None]
        on_step(step + 1, latents)
    return latents


class _Network:
    """The UNet with everything that stays the same over a render."""

    def __init__(self, unet: SonicUNet, conditioning: Conditioning, loop: Loop) -> None:
        self._unet, self._given, self._loop = unet, conditioning, loop
        self._mask = FaceMask(conditioning.mask)
        # Row 0: no image; row 1: the portrait's.
        self._images = torch.cat([torch.zeros_like(conditioning.image), conditioning.image])[:, None]
        self._portraits = torch.cat([torch.zeros_like(conditioning.portrait), conditioning.portrait])
        self._tokens = torch.cat([conditioning.speech, conditioning.silence[None]])
        self._projected = (
            ProjectedSpeech(unet.cross_attentions, self._tokens, self._images) if loop.switches.cached_audio else None
        )

    def windows(
        self, scaled: Tensor, time: Tensor, index: Tensor, advance: Callable[[Sequence[tuple[int, int]]], None]
    ) -> Iterator[tuple[int, Tensor]]:
        """v [3, F, 4, h, w] of each window, by its number; ``advance`` is told which rows come next."""
        rows = [(number, branch) for number in range(len(index)) for branch in range(BRANCHES)]
        waiting: dict[int, list[Tensor]] = {}
        for at in range(0, len(rows), self._loop.rows):
            group = rows[at : at + self._loop.rows]
            advance(group)
            for (number, _), v in zip(group, self._call(scaled, time, index, group), strict=True):
                waiting.setdefault(number, []).append(v)
                if len(waiting[number]) == BRANCHES:
                    yield number, torch.stack(waiting.pop(number))

    def _call(self, scaled: Tensor, time: Tensor, index: Tensor, rows: Sequence[tuple[int, int]]) -> Tensor:
        device, dtype = self._given.portrait.device, self._given.portrait.dtype
        images = [int(branch > 0) for _, branch in rows]
        frames = torch.stack([index[number] for number, _ in rows])
        noisy = scaled[frames.to(scaled.device)].to(device, dtype)
        portraits = self._portraits[images][:, None].expand(-1, frames.shape[1], -1, -1, -1)
        spoken = torch.stack([torch.full_like(index[0], len(self._tokens) - 1) if b < 2 else index[n] for n, b in rows])
        ids = torch.stack([self.time_ids(index[number]) for number, _ in rows])
        v: Tensor = self._unet(
            torch.cat([noisy, portraits], dim=2),
            time.to(device),
            self._context(spoken.to(device), images),
            ids.to(device),
        )
        return v

    def time_ids(self, index: Tensor) -> Tensor:
        """float32 [3]: frames a second and the mean motion figures of a window."""
        motion = self._given.motion[index.to(self._given.motion.device)].mean(0)
        return torch.cat([motion.new_tensor([self._loop.fps]), motion])

    def _context(self, spoken: Tensor, images: Sequence[int]) -> Context:
        scale = self._loop.audio_scale
        if self._projected is not None:
            return self._projected.window(spoken, images, self._mask, scale)
        image = self._images[list(images)][:, None].expand(-1, spoken.shape[1], -1, -1)
        shared = self._loop.switches.shared_context
        return TokenContext(image, self._tokens[spoken], self._mask, scale=scale, shared=shared)
