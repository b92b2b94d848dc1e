"""Measures seconds of a UNet call and peak memory: as published, with each optimization, with all of them."""

from typing import Any

from bench.sonic.clip import random_clip
from bench.sonic.measuring import gib, measure
from stages.infer.sonic.config import SonicConfig
from stages.infer.sonic.denoise import DenoiseParams, denoise
from stages.infer.sonic.nets.unet.optimization import OptimizationFlags
from stages.infer.sonic.networks import Networks

STEPS = 2
DEFAULT_STEPS = 25
"""Steps of a request, for seconds per second of video."""

NONE = OptimizationFlags.none()
SDPA = NONE.replace(sdpa=True)
VARIANTS: dict[str, tuple[OptimizationFlags, int]] = {
    "plain loop": (NONE, 3),
    "sdpa": (SDPA, 3),
    "sdpa, one_key": (SDPA.replace(one_key=True), 3),
    "sdpa, shared_context": (SDPA.replace(shared_context=True), 3),
    "sdpa, cached_audio": (SDPA.replace(cached_audio=True), 3),
    "sdpa, flat_convolution": (SDPA.replace(flat_convolution=True), 3),
    "sdpa, channels_last": (SDPA.replace(channels_last=True), 3),
    "sdpa, branch by branch": (SDPA, 1),
    "sdpa, two windows": (SDPA, 6),
    "all eager": (OptimizationFlags(), 3),
    "all eager, branch by branch": (OptimizationFlags(), 1),
    "all, compiled": (OptimizationFlags(compiled=True, flat_convolution=True), 3),
    "all, compiled, branch by branch": (OptimizationFlags(compiled=True, flat_convolution=True), 1),
}
"""Flags and batch size by name."""
REFERENCES = ("plain loop", "sdpa")


def measure_unet(
    networks: Networks, config: SonicConfig, width: int, height: int, repeats: int, compiled: bool
) -> list[dict[str, Any]]:
    """One row per variant. A call is a window's three branches; it includes the loop's own work."""
    frames = 2 * config.unet.num_frames
    conditioning, latents = random_clip(networks, config, width, height, frames)
    rows: list[dict[str, Any]] = []
    seconds: dict[str, float] = {}
    peaks: dict[str, int] = {}
    for name, (flags, batch_size) in VARIANTS.items():
        if flags.compiled and not compiled:
            continue
        networks.unet.apply_optimization(flags)
        params = DenoiseParams(steps=STEPS, window=config.unet.num_frames, batch_size=batch_size, optimization=flags)

        def work(params: DenoiseParams = params) -> None:
            denoise(networks.unet, conditioning, latents, params)

        measurement = measure(work, networks.device, repeats)
        seconds[name] = measurement.best_s / params.window_count(frames)
        row: dict[str, Any] = {"variant": name, "call_s": round(seconds[name], 4), "peak_gib": gib(measurement.peak)}
        row["first_s"] = round(measurement.first_s, 1)
        row["per_video_s"] = round(seconds[name] * DEFAULT_STEPS * 12.5 / config.unet.num_frames, 2)
        for reference in REFERENCES:
            if reference in seconds:
                row[f"over_{reference.split()[0]}"] = round(seconds[reference] / seconds[name], 2)
        peaks[name] = measurement.peak
        if measurement.peak:
            row["peak_of_plain"] = round(measurement.peak / peaks["plain loop"], 2)
        rows.append(row)
        print(row, flush=True)
    networks.unet.apply_optimization(OptimizationFlags())
    return rows
