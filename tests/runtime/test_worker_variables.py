"""Variables that `fetch` returns are set in the workers' environment, and nowhere else."""

import os
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue

import pytest

from shared.runtime.consume.assignment import Completions
from shared.runtime.execute.worker_process import WorkerProcess
from shared.runtime.execute.worker_slots import SlotClock, WorkerSlots
from shared.slot.spec import StageSpec

SPEC = StageSpec(name="face", handler="tests.runtime.needing_handler", inputs={}, deadline_s=30, memory_mb=1024)


def test_variables_of_fetch_reach_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "weights"
    weights.touch()
    monkeypatch.delenv("TRIAL_NEEDS", raising=False)
    failures: SimpleQueue[str] = SimpleQueue()
    fetched: SimpleQueue[None] = SimpleQueue()

    def fetch() -> Mapping[str, str]:
        fetched.put(None)
        return {"TRIAL_NEEDS": str(weights)}

    workers = [WorkerProcess(SPEC, "puppet")]
    slots = WorkerSlots("face", workers, lambda *_: None, Completions(), SlotClock(), failures.put, fetch)
    slots.start()
    try:
        fetched.get(timeout=30)
        while not slots.ready:
            assert failures.empty(), failures.get()
        assert "TRIAL_NEEDS" not in os.environ
        workers[0].start()
        assert workers[0].pid is not None, "a restarted worker has them, too"
    finally:
        slots.close()
