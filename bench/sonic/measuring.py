"""Seconds and memory of a piece of work on a device."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Figure:
    """first_s: with what happens once; best_s: of the repeats; peak: bytes on the GPU, everything included."""

    first_s: float
    best_s: float
    peak: int


def measured(work: Callable[[], object], device: torch.device, repeats: int) -> Figure:
    """Once to warm up, then ``repeats`` times."""
    settle(device)
    first = _timed(work, device)
    settle(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    best = min(_timed(work, device) for _ in range(repeats))
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return Figure(first, best, peak)


def settle(device: torch.device) -> None:
    """Give back what is not held."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()


def _timed(work: Callable[[], object], device: torch.device) -> float:
    begun = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun


def gib(size: float) -> float:
    """Bytes as GiB."""
    return round(size / (1 << 30), 2)
