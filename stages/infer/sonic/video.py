"""Latents to frames as a stream: decoded chunks, single frames, midpoints, bytes. Nothing holds the whole clip."""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import torch
from torch import Tensor

from stages.infer.sonic.nets.rife import Midpoint
from stages.infer.sonic.nets.vae import Vae

CHUNK = 8
"""Frames decoded at a time, as in the official program."""

Rounding = Literal["truncate", "nearest"]


@torch.no_grad()
def decode_chunks(vae: Vae, latents: Tensor, chunk: int = CHUNK, overlap: int = 0) -> Iterator[Tensor]:
    """Decode a clip in chunks; concatenated, the results are the clip.

    The decoder normalises and convolves over all frames of a call, so two chunks differ in brightness and detail where
    they meet. The official program leaves these seams (``overlap`` 0). With an overlap, the frames that two chunks
    share are decoded twice and blended with weights that rise linearly, by ``1 / (overlap + 1)`` a frame.

    latents: [1, T, channels, h, w], scaled, on any device; chunk: frames of a call, the last of which is shorter;
    overlap: shared frames, 0 to chunk / 2, at ``chunk / (chunk - overlap)`` times the work. Yields float32
    [n, 3, H, W], about -1..1, on the decoder's device. Raises ValueError for an overlap out of range, at the first
    chunk.
    """
    if not 0 <= 2 * overlap <= chunk:
        raise ValueError(f"overlap: {overlap}, 0 to {chunk // 2} of a chunk of {chunk} frames")
    frames = latents.shape[1]
    device = vae.quant_conv.weight.device
    ramp = torch.arange(1, overlap + 1, device=device)[:, None, None, None] / (overlap + 1)
    tail: Tensor | None = None
    for start in range(0, max(frames - overlap, 1), chunk - overlap):
        part = latents[0, start : start + chunk].to(device)
        decoded = vae.decode(part / vae.scaling_factor, len(part)).float()
        if tail is not None and overlap:
            decoded[:overlap] = torch.lerp(tail, decoded[:overlap], ramp)
        ready = len(decoded) if start + chunk >= frames else len(decoded) - overlap
        # A copy: a view would keep the whole chunk alive while the next one is decoded.
        tail = decoded[ready:].clone()
        yield decoded[:ready]


@torch.no_grad()
def pictures(chunks: Iterable[Tensor]) -> Iterator[Tensor]:
    """Split decoded chunks [n, 3, H, W], about -1..1, into frames [1, 3, H, W], clamped to 0..1."""
    for chunk in chunks:
        for frame in torch.split(chunk, 1):
            yield (frame * 0.5 + 0.5).clamp_(0, 1)


@torch.no_grad()
def interpolate(flownet: Callable[[Tensor, Tensor], Midpoint], frames: Iterable[Tensor]) -> Iterator[Tensor]:
    """Double the frame rate: f0, m0, f1, m1, ..., f(T-1), 2 T - 1 frames; holds two frames at most.

    frames: [1, 3, H, W], 0..1. Yields frames of the same shape and dtype, midpoints clamped to 0..1.
    """
    previous: Tensor | None = None
    for frame in frames:
        if previous is not None:
            yield flownet(previous, frame).picture.clamp(0, 1).to(frame.dtype)
        yield frame
        previous = frame


def to_uint8(picture: Tensor, rounding: Rounding = "nearest") -> Tensor:
    """Quantise frames [n, 3, H, W], 0..1, to uint8 [n, H, W, 3] on the same device.

    The official program truncates ``255 x``, which darkens by half a step on average.
    """
    scaled = picture * 255
    if rounding == "nearest":
        scaled = scaled.round_()
    return scaled.to(torch.uint8).movedim(1, -1).contiguous()
