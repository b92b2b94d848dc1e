"""Measured device time and memory, and the exit of a process whose device fails."""

import os

import pytest
import torch

from stages.infer.sonic.meter import DEVICE_LOST, Meter


class Ended(BaseException):
    pass


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Meter:
    """A meter of a GPU, which this machine need not have."""

    def end(status: int) -> None:
        raise Ended(status)

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 5)
    return Meter(torch.device("cuda"), "NVIDIA H100 80GB")


def test_time_on_the_device_adds_up(meter: Meter) -> None:
    for _ in range(2):
        with meter.device_time():
            assert sum(range(2_000_000))
    metrics = meter.metrics()
    assert float(metrics["gpu.seconds"]) > 0
    assert (metrics["gpu.device"], metrics["gpu.mem_peak_bytes"]) == ("NVIDIA-H100-80GB", 5)


def test_device_failure_ends_the_process(meter: Meter) -> None:
    with pytest.raises(Ended, match=str(DEVICE_LOST)), meter.device_time():
        raise torch.AcceleratorError("an illegal memory access")


def test_device_failure_at_synchronisation_ends_the_process(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: torch.device) -> None:
        raise torch.AcceleratorError("an illegal memory access")

    monkeypatch.setattr(torch.cuda, "synchronize", fail)
    with pytest.raises(Ended, match=str(DEVICE_LOST)), meter.device_time():
        pass


def test_out_of_memory_does_not_end_the_process(meter: Meter) -> None:
    with pytest.raises(torch.OutOfMemoryError), meter.device_time():
        raise torch.OutOfMemoryError("CUDA out of memory")
