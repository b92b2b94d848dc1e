"""Estimates what a render takes of the accelerator's memory, before its first kernel.

Activations of each phase are a number of full-size feature maps, measured with the official config on an H200 in half
precision (``bench.sonic`` prints estimate and peak side by side). They grow with pixels, frames and batch size only.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from stages.infer.sonic.config import SonicConfig
from stages.infer.sonic.presets import Plan

BASE = 192 << 20
"""Library workspaces and fragmentation of the allocator."""
UNET_MAPS, UNET_MAPS_COMPILED = 20.0, 24.0
"""Feature maps of the finest level's width, per frame and branch."""
DECODE_MAPS, ENCODE_MAPS = 9.7, 7.2
"""Feature maps of the autoencoder's finest width at full resolution, per frame."""
MIDPOINT_BYTES = 560
"""Bytes of the interpolation per pixel; always float32."""
HEADROOM = 1 / 8
"""Share left free: the allocator can't fill every gap. Plans that left less ran out of memory under a cap."""


class DoesNotFit(Exception):
    """The smallest plan needs more memory than there is."""

    def __init__(self, needed: int, available: int) -> None:
        super().__init__(f"{needed >> 20} MiB are needed beside the weights, {available >> 20} MiB are free")
        self.needed, self.available = needed, available


@dataclass(frozen=True, slots=True)
class Clip:
    """What is rendered: width and height (multiples of 64), drawn frames T, bytes of an element."""

    width: int
    height: int
    frames: int
    itemsize: int


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes beside the weights in each phase; phases don't overlap."""

    encode: int
    denoise: int
    decode: int

    @property
    def peak(self) -> int:
        """Bytes of the largest phase."""
        return max(self.encode, self.denoise, self.decode)


def estimate(plan: Plan, clip: Clip, config: SonicConfig) -> MemoryEstimate:
    """The memory of a plan."""
    unet, vae = config.unet, config.vae
    pixels, itemsize = clip.width * clip.height, clip.itemsize
    positions = pixels // 64
    params, optimization = plan.denoise, plan.denoise.optimization
    maps = UNET_MAPS_COMPILED if optimization.compiled else UNET_MAPS
    activations = int(maps * unet.channels[0] * params.batch_size * params.window * positions * itemsize)
    tokens = (clip.frames + 1) * config.token.n_tokens
    audio = tokens * unet.context_dim * itemsize
    if optimization.cached_audio:
        audio += tokens * itemsize * sum(4 * layers * width for layers, width in _attention_layers(config))
    frame = vae.channels[0] * pixels * itemsize
    decode = int(DECODE_MAPS * frame * min(plan.decode_chunk, clip.frames)) + MIDPOINT_BYTES * pixels
    return MemoryEstimate(BASE + int(ENCODE_MAPS * frame), BASE + activations + audio, BASE + decode)


def _attention_layers(config: SonicConfig) -> Iterator[tuple[int, int]]:
    """Number of transformers and their width, per level and for the middle; each has two sets of keys and values."""
    unet = config.unet
    for has_attention, width in zip(unet.has_attention, unet.channels, strict=True):
        if has_attention:
            yield 2 * unet.layers + 1, width
    yield 1, unet.channels[-1]


def fit_plan(plan: Plan, clip: Clip, config: SonicConfig, available: int) -> Plan:
    """The fastest plan within ``available`` bytes beside the weights, with headroom. Raises DoesNotFit.

    Tried in this order: as requested; one branch in a call; audio projected at every window instead of cached; then the
    same with half the frames decoded together, down to two.
    """
    candidate = plan
    for candidate in (fallback for chunk in plan.decode_fallbacks() for fallback in chunk.denoise_fallbacks()):
        if estimate(candidate, clip, config).peak <= available * (1 - HEADROOM):
            return candidate
    raise DoesNotFit(math.ceil(estimate(candidate, clip, config).peak / (1 - HEADROOM)), available)


def available_memory(device: torch.device, limit: int | None) -> int | None:
    """Bytes that a render may take now; None on a CPU, where nothing is planned.

    Memory that other processes hold is not available; what this process's allocator caches is. ``limit``: bytes that
    the process may hold in all.
    """
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    allocated = torch.cuda.memory_allocated(device)
    available = free + torch.cuda.memory_reserved(device) - allocated
    return available if limit is None else min(available, limit - allocated)


def memory_capacity(device: torch.device, limit: int | None) -> int:
    """Bytes that a render could take if no other process held any of the accelerator's."""
    _, total = torch.cuda.mem_get_info(device)
    return (total if limit is None else min(total, limit)) - torch.cuda.memory_allocated(device)


def limit_memory(device: torch.device, limit: int | None) -> None:
    """Limit the process to ``limit`` bytes of a shared accelerator."""
    if limit is not None and device.type == "cuda":
        _, total = torch.cuda.mem_get_info(device)
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total), device)
