"""What a render takes of the accelerator's memory, known before its first kernel.

Activations of each phase are a number of full-size maps, measured at the official sizes on an H200 in half precision
(bench/sonic.py prints estimate and peak side by side); they grow with pixels, frames and branches, and nothing else.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from stages.infer.sonic.presets import Plan
from stages.infer.sonic.sizes import SonicSizes

BASE = 192 << 20
"""Libraries' workspaces, the allocator's fragments."""
UNET_MAPS, UNET_MAPS_COMPILED = 20.0, 24.0
"""Maps of the finest level's width, per frame and branch."""
DECODE_MAPS, ENCODE_MAPS = 9.7, 7.2
"""Maps of the autoencoder's finest width at full resolution, per frame."""
MIDPOINT_BYTES = 560
"""Of the interpolation, per pixel; always float32."""
HEADROOM = 1 / 8
"""Left free: the allocator can't fill every gap; plans that left less ran out of memory under a cap."""


class DoesNotFit(Exception):
    """The smallest way to render needs more than there is."""

    def __init__(self, needed: int, available: int) -> None:
        super().__init__(f"{needed >> 20} MiB are needed beside the weights, {available >> 20} MiB are free")
        self.needed, self.available = needed, available


@dataclass(frozen=True, slots=True)
class Clip:
    """What is rendered: pixels of a frame (multiples of 64), drawn frames T, bytes of a number."""

    width: int
    height: int
    frames: int
    number_bytes: int


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes beside the weights, for each phase; the phases follow one another."""

    encode: int
    denoise: int
    decode: int

    @property
    def most(self) -> int:
        """Of the largest phase."""
        return max(self.encode, self.denoise, self.decode)


def need(plan: Plan, clip: Clip, sizes: SonicSizes) -> Need:
    """Estimate of a plan."""
    unet, vae = sizes.unet, sizes.vae
    pixels, bytes_ = clip.width * clip.height, clip.number_bytes
    positions = pixels // 64
    loop, switches = plan.loop, plan.loop.switches
    maps = UNET_MAPS_COMPILED if switches.compiled else UNET_MAPS
    activations = int(maps * unet.channels[0] * loop.rows * loop.window * positions * bytes_)
    tokens = (clip.frames + 1) * sizes.token.tokens
    given = tokens * unet.context * bytes_
    if switches.cached_audio:
        given += tokens * bytes_ * sum(4 * layers * width for layers, width in _attending(sizes))
    picture = vae.channels[0] * pixels * bytes_
    decode = int(DECODE_MAPS * picture * min(plan.chunk, clip.frames)) + MIDPOINT_BYTES * pixels
    return Need(BASE + int(ENCODE_MAPS * picture), BASE + activations + given, BASE + decode)


def _attending(sizes: SonicSizes) -> Iterator[tuple[int, int]]:
    """Transformers and their width, level by level, the middle with the last: each has keys and values twice."""
    unet = sizes.unet
    for attends, width in zip(unet.attends, unet.channels, strict=True):
        if attends:
            yield 2 * unet.layers + 1, width
    yield 1, unet.channels[-1]


def fitted(plan: Plan, clip: Clip, sizes: SonicSizes, available: int) -> Plan:
    """The fastest way to render within ``available`` bytes beside the weights, some left free. Raises DoesNotFit.

    Tried in this order: as asked; one branch at a time; audio projected at every window instead of kept; then the same
    with half the frames decoded together, down to two.
    """
    smallest = plan
    for smallest in (way for chunk in plan.decoding() for way in chunk.denoising()):
        if need(smallest, clip, sizes).most <= available * (1 - HEADROOM):
            return smallest
    raise DoesNotFit(math.ceil(need(smallest, clip, sizes).most / (1 - HEADROOM)), available)


def available(device: torch.device, limit: int | None) -> int | None:
    """Bytes that a render may take now; None where nothing has to be planned (no accelerator).

    What other processes hold is theirs; what this one's allocator keeps is free. ``limit``: bytes that the process may
    hold in all.
    """
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_allocated(device)
    found = free + torch.cuda.memory_reserved(device) - held
    return found if limit is None else min(found, limit - held)


def capacity(device: torch.device, limit: int | None) -> int:
    """Bytes that a render could take if nobody else held any of the accelerator."""
    _, whole = torch.cuda.mem_get_info(device)
    return (whole if limit is None else min(whole, limit)) - torch.cuda.memory_allocated(device)


def limited(device: torch.device, limit: int | None) -> None:
    """Hold the process to ``limit`` bytes of an accelerator that it shares."""
    if limit is not None and device.type == "cuda":
        _, whole = torch.cuda.mem_get_info(device)
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / whole), device)
