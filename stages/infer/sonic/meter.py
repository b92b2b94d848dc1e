"""Measures what a render takes of the machine: time on the accelerator, processor time, peak memory."""

import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from shared.slot.records import Scalar

DEVICE_LOST = 70
"""Exit status of a worker process whose accelerator failed."""


class Meter:
    """Measures one render. Accelerator time is the wall time of device work, synchronisation included."""

    def __init__(self, device: torch.device, device_name: str) -> None:
        self._device, self._name = device, device_name
        self._gpu_s = 0.0
        self._cpu_start = time.process_time()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    @contextmanager
    def device_time(self) -> Iterator[None]:
        """Wraps all work on the device and waits for its end. A device that fails ends the process."""
        if self._device.type != "cuda":
            yield
            return
        started = time.monotonic()
        try:
            try:
                yield
            finally:
                torch.cuda.synchronize(self._device)
        except torch.AcceleratorError:
            # A process whose device failed fails every later task. The slot starts a new one, which retries this task.
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(DEVICE_LOST)
        finally:
            self._gpu_s += time.monotonic() - started

    def metrics(self) -> dict[str, Scalar]:
        """Span attributes: ``gpu.seconds`` (0 on a CPU), ``cpu.seconds``, ``gpu.device``, ``gpu.mem_peak_bytes``."""
        metrics: dict[str, Scalar] = {
            "gpu.seconds": round(self._gpu_s, 3),
            "cpu.seconds": round(time.process_time() - self._cpu_start, 3),
        }
        if self._device.type == "cuda":
            metrics["gpu.device"] = self._name.replace(" ", "-")
            metrics["gpu.mem_peak_bytes"] = torch.cuda.max_memory_allocated(self._device)
        return metrics
