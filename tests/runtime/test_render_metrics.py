"""Renders are counted once, where they end, with what the operator needs; nobody can add series."""

import json
import time
import uuid
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from shared.messages.codes import Code
from shared.runtime.failures import WorkerDied
from shared.slot import records
from tests.runtime.memory import finished
from tests.runtime.memory_stage import ENCODE, ENCODED, FACE, FRONT, MemoryStage, last_task

NOW_NS = 1_800_000_000_000_000_000
FAILURE = records.HandlerFailed(exception="E", message="m", stack="")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every event has a time of its own: two equal terminal events are one document, which both have claimed."""
    ticks = count(NOW_NS, 1_000_000)
    ours = SimpleNamespace(time_ns=lambda: next(ticks), monotonic=time.monotonic)
    monkeypatch.setattr("shared.runtime.settle.event_publisher.time", ours)


class Increase:
    """How much series have grown since the construction."""

    def __init__(self) -> None:
        self._before = self._values()

    @staticmethod
    def _values() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        return {(s.name, frozenset(s.labels.items())): s.value for f in REGISTRY.collect() for s in f.samples}

    def of(self, name: str, **labels: str) -> float:
        key = name, frozenset(labels.items())
        return self._values().get(key, 0.0) - self._before.get(key, 0.0)

    def outcomes(self) -> dict[tuple[str, str], float]:
        grown = {}
        for (name, labels), value in self._values().items():
            delta = value - self._before.get((name, labels), 0.0)
            if name == "lipstage_renders_total" and delta:
                grown[dict(labels)["engine"], dict(labels)["outcome"]] = delta
        return grown


def body(**fields: Any) -> bytes:
    ref = {"key": "default/x"}
    return json.dumps({"portrait": ref, "speech": ref, **fields}).encode()


def finish(rig: MemoryStage, **metadata: Any) -> None:
    values = ENCODED.model_copy(update=metadata).model_dump(mode="json")
    answer = finished(video=b"v", poster=b"p")
    rig.worker.answer = lambda work: answer(work).model_copy(update={"metadata": values})  # type: ignore[union-attr]


def test_done_render_is_counted_once_with_drift_quality_and_pace(tmp_path: Path) -> None:
    rig, grown = MemoryStage(ENCODE, tmp_path), Increase()
    finish(rig, container_drift_ms=-20.0, lip_offset_ms=-150.0, quality=0.42, duration_s=2.0)
    value = last_task(rig)
    rig.handle(value)
    rig.handle(value)  # The redelivery repeats the event, and counts nothing.
    assert rig.types().count("done") == 2
    assert grown.outcomes() == {("puppet", "done"): 1}
    assert grown.of("lipstage_render_duration_seconds_count", engine="puppet", outcome="done") == 1
    sums = {kind: grown.of("lipstage_render_drift_seconds_sum", engine="puppet", kind=kind) for kind in
            ("container", "lip", "audio")}  # fmt: skip
    assert sums == pytest.approx({"container": 0.02, "lip": 0.15, "audio": 0.15})
    assert grown.of("lipstage_render_quality_ratio_sum", engine="puppet") == pytest.approx(0.42)
    assert grown.of("lipstage_render_real_time_factor_count", engine="puppet") == 1


def test_unmeasured_lips_and_quality_are_not_observed(tmp_path: Path) -> None:
    rig, grown = MemoryStage(ENCODE, tmp_path), Increase()
    finish(rig)
    rig.handle(last_task(rig))
    assert grown.of("lipstage_render_drift_seconds_count", engine="puppet", kind="container") == 1
    assert grown.of("lipstage_render_drift_seconds_count", engine="puppet", kind="lip") == 0
    assert grown.of("lipstage_render_quality_ratio_count", engine="puppet") == 0


def reject(rig: MemoryStage) -> bytes:
    rig.worker.answer = lambda _: records.Refused(code=Code.NO_FACE, message="m")
    return rig.task().dump()


def cancel(rig: MemoryStage) -> bytes:
    rig.cancelled.add(rig.job)
    return rig.task().dump()


def expire(rig: MemoryStage) -> bytes:
    rig.producers.clock.observe(1_000_000)
    return rig.task(deadline_s=1).dump()


def fail(rig: MemoryStage) -> bytes:
    rig.worker.answer = lambda _: FAILURE
    return rig.task().dump()


@pytest.mark.parametrize(
    ("prepare", "outcome"), [(reject, "rejected"), (cancel, "cancelled"), (expire, "expired"), (fail, "failed")]
)
def test_each_other_end_is_counted_once(tmp_path: Path, prepare: Callable[[MemoryStage], bytes], outcome: str) -> None:
    rig, grown = MemoryStage(FACE, tmp_path, max_attempts=1), Increase()
    rig.claim_request()
    value = prepare(rig)
    rig.handle(value)
    rig.handle(value)
    assert grown.outcomes() == {("puppet", outcome): 1}
    assert grown.of("lipstage_render_duration_seconds_count", engine="puppet", outcome=outcome) == 1


def test_failed_attempts_are_counted_by_class(tmp_path: Path) -> None:
    rig, grown = MemoryStage(FACE, tmp_path), Increase()

    def die_then_fail(_: records.Work) -> records.WorkResult:
        if rig.worker.runs == 1:
            raise WorkerDied("killed")
        return FAILURE

    rig.worker.answer = die_then_fail
    rig.handle(rig.task().dump())
    rig.deliver_again()
    counted = {c: grown.of("lipstage_task_failures_total", stage="face", failure_class=c) for c in
               ("crash_loop", "failed", "poison")}  # fmt: skip
    assert counted == {"crash_loop": 1, "failed": 4, "poison": 0}
    assert rig.worker.runs == 5


def test_gpu_seconds_count_for_the_attempt_that_won(tmp_path: Path) -> None:
    rig, grown = MemoryStage(FACE, tmp_path), Increase()
    answer = finished(image=b"i")
    rig.worker.answer = lambda work: answer(work).model_copy(update={"metadata": {"gpu_seconds": 1.5}})  # type: ignore[union-attr]
    value = rig.task().dump()
    rig.handle(value)
    rig.handle(value)
    assert grown.of("lipstage_gpu_seconds_total", stage="face", engine="puppet") == 1.5


def test_unreadable_request_is_a_rejected_render_of_an_unknown_engine(tmp_path: Path) -> None:
    rig, grown = MemoryStage(FRONT, tmp_path), Increase()
    rig.handle(b"{")
    assert grown.outcomes() == {("other", "rejected"): 1}
    name = "lipstage_render_duration_seconds_count"
    assert grown.of(name, engine="other", outcome="rejected") == 0, (
        "an unreadable request does not say when it was made"
    )


def test_a_thousand_tenants_and_hostile_engines_add_no_series(tmp_path: Path) -> None:
    rig = MemoryStage(FRONT, tmp_path)

    def send(tenant: str, engine: str) -> None:
        rig.job = uuid.uuid4().hex
        rig.handle(body(tenant=tenant, engine=engine, labels={tenant: engine}))

    for engine in ("puppet", "nobody"):
        send("first", engine)
    series = sum(len(family.samples) for family in REGISTRY.collect())
    for number in range(1000):
        send(f"tenant-{number}", "puppet" if number % 2 else f"engine-{number}")
    assert sum(len(family.samples) for family in REGISTRY.collect()) == series
