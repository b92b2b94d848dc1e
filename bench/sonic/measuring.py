"""Measures seconds and memory of a function on a device."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Measurement:
    """first_s: the first run, one-time costs included; best_s: the fastest repeat; peak: bytes on the GPU in all."""

    first_s: float
    best_s: float
    peak: int


def measure(work: Callable[[], object], device: torch.device, repeats: int) -> Measurement:
    """Run once to warm up, then ``repeats`` times."""
    free_cache(device)
    first = _timed(work, device)
    free_cache(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    best = min(_timed(work, device) for _ in range(repeats))
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return Measurement(first, best, peak)


def free_cache(device: torch.device) -> None:
    """Release unused memory."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()


def _timed(work: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def gib(size: float) -> float:
    """Bytes as GiB."""
    return round(size / (1 << 30), 2)
