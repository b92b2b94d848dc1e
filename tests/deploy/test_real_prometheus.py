"""A real Prometheus scrapes a real stage with induced faults: alerts fire and resolve, exemplars arrive."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.monitored import Prometheus, Services, monitored, until
from shared.runtime.settings import RuntimeSettings
from tests.conftest import Infrastructure, apply_topics
from tests.deploy.programs import program

FACTOR = 30
"""Dead letters of 15 minutes are those of 30 s: longer than the test may be held up between two of its steps."""


@pytest.fixture
def run(stack: Infrastructure, topic_prefix: str, tmp_path: Path) -> Iterator[tuple[Services, Prometheus]]:
    prometheus = program("prometheus")
    apply_topics(RuntimeSettings(topic_prefix=topic_prefix))
    environment = {
        **stack.environment,
        "LIPSTAGE_TOPIC_PREFIX": topic_prefix,
        "LIPSTAGE_CACHE_KEY": os.urandom(16).hex(),
        "LIPSTAGE_MAX_ATTEMPTS": "1",
    }
    with monitored(environment, prometheus, tmp_path, FACTOR) as started:
        yield started


def test_alerts_fire_for_their_fault_and_resolve(run: tuple[Services, Prometheus]) -> None:
    services, prometheus = run
    prometheus.fires("LipstageTargetDown")
    services.start("encode")
    until(lambda: prometheus.query('up{service="encode"} == 1'), "a sample of before the first dead letter")
    services.send("drift", 3)
    services.send("fail")
    prometheus.fires("LipstageDeadLetters")
    notes = prometheus.firing()["LipstageDeadLetters"]
    assert notes["summary"] == "The encode stage dead-letters records with INTERNAL"
    assert "--code INTERNAL" in notes["description"]

    # A dead letter is counted before the end of its render, and a scrape that fails hides all samples until the next.
    def renders() -> dict[str, float]:
        return {m["outcome"]: value for m, value in prometheus.query("lipstage_renders_total{engine='puppet'} > 0")}

    until(lambda: renders() == {"done": 3, "failed": 1}, "a scrape with every end")
    late = ('lipstage_render_drift_seconds_count{kind="lip"} - on () '
            'lipstage_render_drift_seconds_bucket{kind="lip",le="0.1"}')  # fmt: skip
    until(lambda: [value for _, value in prometheus.query(late)] == [3], "a scrape with the drift")
    until(lambda: bool(prometheus.exemplars("lipstage_render_duration_seconds_bucket")), "exemplars")
    assert all(len(one["trace_id"]) == 32 for one in prometheus.exemplars("lipstage_render_duration_seconds_bucket"))
    for metric in ("lipstage_worker_memory_bytes", "lipstage_cpu_seconds_total", "lipstage_slots"):
        until(lambda metric=metric: bool(prometheus.query(metric)), metric)  # type: ignore[misc]
        assert all(value > 0 for _, value in prometheus.query(metric))
    prometheus.resolves("LipstageDeadLetters")
