"""Seconds of a UNet call and peak memory: as published, each saving, all, all but one kind of memory."""

from typing import Any

from bench.sonic.clip import random_clip
from bench.sonic.measuring import gib, measured
from stages.infer.sonic.denoise import Loop, denoise
from stages.infer.sonic.nets.unet.switches import Switches
from stages.infer.sonic.networks import Networks
from stages.infer.sonic.sizes import SonicSizes

STEPS = 2
USUAL_STEPS = 25
"""Of a request, for seconds a second of video."""

NONE = Switches.none()
EAGER = NONE.but(sdpa=True)
WAYS: dict[str, tuple[Switches, int]] = {
    "plain loop": (NONE, 3),
    "sdpa": (EAGER, 3),
    "sdpa, one_key": (EAGER.but(one_key=True), 3),
    "sdpa, shared_context": (EAGER.but(shared_context=True), 3),
    "sdpa, cached_audio": (EAGER.but(cached_audio=True), 3),
    "sdpa, flat_convolution": (EAGER.but(flat_convolution=True), 3),
    "sdpa, channels_last": (EAGER.but(channels_last=True), 3),
    "sdpa, branch by branch": (EAGER, 1),
    "sdpa, two windows": (EAGER, 6),
    "all eager": (Switches(), 3),
    "all eager, branch by branch": (Switches(), 1),
    "all, compiled": (Switches(compiled=True, flat_convolution=True), 3),
    "all, compiled, branch by branch": (Switches(compiled=True, flat_convolution=True), 1),
}
REFERENCES = ("plain loop", "sdpa")


def ways(networks: Networks, sizes: SonicSizes, width: int, height: int, repeats: int, compiled: bool) -> list[Any]:
    """One row a way. A call is a window's three branches; it includes the loop's own work."""
    frames = 2 * sizes.unet.frames
    given, latents = random_clip(networks, sizes, width, height, frames)
    rows: list[dict[str, Any]] = []
    seconds: dict[str, float] = {}
    peaks: dict[str, int] = {}
    for name, (switches, at_once) in WAYS.items():
        if switches.compiled and not compiled:
            continue
        networks.unet.apply_switches(switches)
        loop = Loop(steps=STEPS, window=sizes.unet.frames, rows=at_once, switches=switches)

        def work(loop: Loop = loop) -> None:
            denoise(networks.unet, given, latents, loop)

        found = measured(work, networks.device, repeats)
        seconds[name] = found.best_s / loop.calls(frames)
        row: dict[str, Any] = {"way": name, "call_s": round(seconds[name], 4), "peak_gib": gib(found.peak)}
        row["first_s"] = round(found.first_s, 1)
        row["per_video_s"] = round(seconds[name] * USUAL_STEPS * 12.5 / sizes.unet.frames, 2)
        for reference in REFERENCES:
            if reference in seconds:
                row[f"over_{reference.split()[0]}"] = round(seconds[reference] / seconds[name], 2)
        peaks[name] = found.peak
        if found.peak:
            row["peak_of_plain"] = round(found.peak / peaks["plain loop"], 2)
        rows.append(row)
        print(row, flush=True)
    networks.unet.apply_switches(Switches())
    return rows
