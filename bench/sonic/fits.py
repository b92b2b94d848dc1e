"""What fits a smaller GPU: the process is held to a cap, the plan is made for it, and a window and a chunk are run."""

from contextlib import suppress
from typing import Any

import torch

from bench.sonic.clip import random_clip
from bench.sonic.measuring import gib, settle
from shared.messages.engines import SonicParams
from stages.infer.engine import Direction
from stages.infer.sonic.denoise import denoise
from stages.infer.sonic.memory import Clip, DoesNotFit, available, fitted, limited, need
from stages.infer.sonic.nets.unet.switches import Switches
from stages.infer.sonic.networks import Networks
from stages.infer.sonic.presets import Plan, plan
from stages.infer.sonic.sizes import SonicSizes
from stages.infer.sonic.video import decode_chunks

CAPS_GB = (8, 12, 16, 24)
CONTEXT_BYTES = 600_000_000
"""What CUDA itself takes of a card, beside the allocator that the cap holds."""
PICTURES = ((512, 512), (512, 896), (768, 768), (1024, 1024))
SECONDS = (5, 60)


class _Enough(Exception):
    pass


def fits(networks: Networks, sizes: SonicSizes) -> list[dict[str, Any]]:
    """One row a cap, picture and length."""
    rows = []
    device = networks.device
    try:
        for cap in CAPS_GB:
            limit = cap * 10**9 - CONTEXT_BYTES
            limited(device, limit)
            for width, height in PICTURES:
                for seconds in SECONDS:
                    frames = int(seconds * 12.5)
                    row = {"card_gb": cap, "picture": f"{width}x{height}", "speech_s": seconds}
                    row |= _tried(networks, sizes, Clip(width, height, frames, networks.dtype.itemsize), limit)
                    rows.append(row)
                    print(row, flush=True)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    return rows


def _tried(networks: Networks, sizes: SonicSizes, clip: Clip, limit: int) -> dict[str, Any]:
    device = networks.device
    settle(device)
    weights = torch.cuda.memory_allocated(device)
    free = available(device, limit)
    assert free is not None
    asked = plan(SonicParams(), Direction(2, 1.0, 0), sizes, Switches())
    try:
        chosen = fitted(asked, clip, sizes, free)
    except DoesNotFit as e:
        return {"fits": False, "needed_gib": gib(weights + e.needed)}
    torch.cuda.reset_peak_memory_stats(device)
    try:
        _run(networks, sizes, clip, chosen)
        survived = True
    except torch.OutOfMemoryError:
        survived = False
    settle(device)
    return {
        "fits": survived,
        "branches_at_once": chosen.loop.rows,
        "audio_kept": chosen.loop.switches.cached_audio,
        "decode_chunk": chosen.chunk,
        "needed_gib": gib(weights + need(chosen, clip, sizes).most),
        "peak_gib": gib(torch.cuda.max_memory_allocated(device)),
    }


def _run(networks: Networks, sizes: SonicSizes, clip: Clip, chosen: Plan) -> None:
    """Two groups of rows of the first step, the first chunk of decoding, the portrait's encoding."""
    given, latents = random_clip(networks, sizes, clip.width, clip.height, clip.frames)
    calls = 0

    def enough(_done: int, _total: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise _Enough

    with torch.inference_mode():
        networks.vae.encode(torch.zeros(1, 3, clip.height, clip.width, device=networks.device))
    with suppress(_Enough):
        denoise(networks.unet, given, latents, chosen.loop, on_call=enough)
    del given
    chunks = decode_chunks(networks.vae, latents, chosen.chunk, chosen.chunk_overlap)
    for _ in range(2):
        next(chunks, None)
