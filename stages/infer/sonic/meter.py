"""What a render takes of the machine: time on the accelerator, processor time, memory at its peak."""

import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from shared.slot.records import Scalar

DEVICE_LOST = 70
"""Exit status of a child whose accelerator failed."""


class Meter:
    """Of one render. Accelerator time is the wall time in which the render held it, waiting for its end included."""

    def __init__(self, device: torch.device, device_name: str) -> None:
        self._device, self._name = device, device_name
        self._gpu_s = 0.0
        self._cpu_start = time.process_time()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Work on the device, until it is done. All of it goes through here; a device that fails ends the process."""
        if self._device.type != "cuda":
            yield
            return
        begun = time.monotonic()
        try:
            try:
                yield
            finally:
                torch.cuda.synchronize(self._device)
        except torch.AcceleratorError:
            # The process has lost its device: every later task would fail in it. A fresh one tries this task again.
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(DEVICE_LOST)
        finally:
            self._gpu_s += time.monotonic() - begun

    def figures(self) -> dict[str, Scalar]:
        """Span attributes: ``gpu.seconds`` (0 on a CPU), ``cpu.seconds``, ``gpu.device``, ``gpu.mem_peak_bytes``."""
        found: dict[str, Scalar] = {
            "gpu.seconds": round(self._gpu_s, 3),
            "cpu.seconds": round(time.process_time() - self._cpu_start, 3),
        }
        if self._device.type == "cuda":
            found["gpu.device"] = self._name.replace(" ", "-")
            found["gpu.mem_peak_bytes"] = torch.cuda.max_memory_allocated(self._device)
        return found
