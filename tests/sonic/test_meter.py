"""What a render is said to have taken, and the end of a process whose device fails."""

import os

import pytest
import torch

from stages.infer.sonic.meter import DEVICE_LOST, Meter


class Ended(BaseException):
    pass


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Meter:
    """Of a GPU that this machine need not have."""

    def end(status: int) -> None:
        raise Ended(status)

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 5)
    return Meter(torch.device("cuda"), "NVIDIA H100 80GB")


def test_time_on_the_device_adds_up(meter: Meter) -> None:
    for _ in range(2):
        with meter.held():
            assert sum(range(2_000_000))
    figures = meter.figures()
    assert float(figures["gpu.seconds"]) > 0
    assert (figures["gpu.device"], figures["gpu.mem_peak_bytes"]) == ("NVIDIA-H100-80GB", 5)


def test_a_failing_device_ends_the_process(meter: Meter) -> None:
    with pytest.raises(Ended, match=str(DEVICE_LOST)), meter.held():
        raise torch.AcceleratorError("an illegal memory access")


def test_a_device_that_fails_late_does_too(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: torch.device) -> None:
        raise torch.AcceleratorError("an illegal memory access")

    monkeypatch.setattr(torch.cuda, "synchronize", fail)
    with pytest.raises(Ended, match=str(DEVICE_LOST)), meter.held():
        pass


def test_too_little_memory_is_no_such_failure(meter: Meter) -> None:
    with pytest.raises(torch.OutOfMemoryError), meter.held():
        raise torch.OutOfMemoryError("CUDA out of memory")
