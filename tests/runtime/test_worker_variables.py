"""What a service fetches for its workers reaches them as variables, and nothing else sees them."""

import os
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue

import pytest

from shared.runtime.slots import Slots
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

    slots = Slots(SPEC, "puppet", 1, lambda *_: None, failures.put, fetch)
    slots.start()
    try:
        fetched.get(timeout=30)
        while not slots.ready:
            assert failures.empty(), failures.get()
        assert "TRIAL_NEEDS" not in os.environ
    finally:
        slots.close()
