"""The slots of a service: a child that dies while nothing is to do."""

import os
import signal
from pathlib import Path
from queue import Queue

import pytest

from shared.runtime.slot_process import SlotProcess
from shared.runtime.slots import Slots
from shared.slot.spec import StageSpec

SPEC = StageSpec(name="trial", handler="tests.runtime.trial_handler", inputs={})


def test_an_idle_child_that_dies_is_replaced_with_no_task_to_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    start = SlotProcess.start
    started: Queue[int | None] = Queue()

    def noted(child: SlotProcess) -> float:
        seconds = start(child)
        started.put(child.pid)
        return seconds

    monkeypatch.setattr(SlotProcess, "start", noted)
    failures: list[str] = []
    slots = Slots(SPEC, "puppet", 1, lambda *_: None, failures.append)
    slots.start()
    try:
        first = started.get(timeout=30)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert started.get(timeout=30) not in (None, first)
        assert failures == []
    finally:
        slots.close()
