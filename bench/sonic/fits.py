"""Measures what fits a smaller GPU: limits the process to its memory, plans for it, runs a window and a chunk."""

from contextlib import suppress
from typing import Any

import torch

from bench.sonic.clip import random_clip
from bench.sonic.measuring import free_cache, gib
from shared.messages.engines import SonicParams
from stages.infer.engine import RenderParams
from stages.infer.sonic.config import SonicConfig
from stages.infer.sonic.denoise import denoise
from stages.infer.sonic.memory import Clip, DoesNotFit, available_memory, estimate, fit_plan, limit_memory
from stages.infer.sonic.nets.unet.optimization import OptimizationFlags
from stages.infer.sonic.networks import Networks
from stages.infer.sonic.presets import Plan, make_plan
from stages.infer.sonic.video import decode_chunks

CAPS_GB = (8, 12, 16, 24)
CONTEXT_BYTES = 600_000_000
"""What CUDA itself takes of a card, beside the allocator that the cap limits."""
PICTURES = ((512, 512), (512, 896), (768, 768), (1024, 1024))
SECONDS = (5, 60)


class _Enough(Exception):
    pass


def measure_fits(networks: Networks, config: SonicConfig) -> list[dict[str, Any]]:
    """One row per cap, picture and length."""
    rows = []
    device = networks.device
    try:
        for cap in CAPS_GB:
            limit = cap * 10**9 - CONTEXT_BYTES
            limit_memory(device, limit)
            for width, height in PICTURES:
                for seconds in SECONDS:
                    frames = int(seconds * 12.5)
                    row = {"card_gb": cap, "picture": f"{width}x{height}", "speech_s": seconds}
                    row |= _measure(networks, config, Clip(width, height, frames, networks.dtype.itemsize), limit)
                    rows.append(row)
                    print(row, flush=True)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    return rows


def _measure(networks: Networks, config: SonicConfig, clip: Clip, limit: int) -> dict[str, Any]:
    device = networks.device
    free_cache(device)
    weights = torch.cuda.memory_allocated(device)
    free = available_memory(device, limit)
    assert free is not None
    requested = make_plan(SonicParams(), RenderParams(2, 1.0, 0), config, OptimizationFlags())
    try:
        plan = fit_plan(requested, clip, config, free)
    except DoesNotFit as e:
        return {"fits": False, "needed_gib": gib(weights + e.needed)}
    torch.cuda.reset_peak_memory_stats(device)
    try:
        _run(networks, config, clip, plan)
        fits = True
    except torch.OutOfMemoryError:
        fits = False
    free_cache(device)
    return {
        "fits": fits,
        "batch_size": plan.denoise.batch_size,
        "cached_audio": plan.denoise.optimization.cached_audio,
        "decode_chunk": plan.decode_chunk,
        "needed_gib": gib(weights + estimate(plan, clip, config).peak),
        "peak_gib": gib(torch.cuda.max_memory_allocated(device)),
    }


def _run(networks: Networks, config: SonicConfig, clip: Clip, plan: Plan) -> None:
    """Two batches of the first step, the first chunk of decoding, the portrait's encoding."""
    conditioning, latents = random_clip(networks, config, clip.width, clip.height, clip.frames)
    calls = 0

    def stop_after_two(_done: int, _total: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise _Enough

    with torch.inference_mode():
        networks.vae.encode(torch.zeros(1, 3, clip.height, clip.width, device=networks.device))
    with suppress(_Enough):
        denoise(networks.unet, conditioning, latents, plan.denoise, on_call=stop_after_two)
    del conditioning
    chunks = decode_chunks(networks.vae, latents, plan.decode_chunk, plan.decode_overlap)
    for _ in range(2):
        next(chunks, None)
