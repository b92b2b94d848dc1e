"""The live demo: its arithmetic, and in the long form the whole of it with a small burst."""

import json
import subprocess
import sys

import pytest

from bench.autoscale import demo
from bench.autoscale.hpa import Policy, Rules
from bench.autoscale.local_replicas import BUSY
from shared.messages.events import Finished, Started
from tests.conftest import ROOT


def test_times_are_divided_and_amounts_stay() -> None:
    rules = demo.shortened(Rules((Policy("Percent", 10, 60), Policy("Pods", 1, 3)), window_s=300))
    assert rules == Rules((Policy("Percent", 10, 8.0), Policy("Pods", 1, 1.0)), window_s=40.0)


def test_a_wait_ends_at_the_first_start_of_infer() -> None:
    common = {"job_id": "a", "request_id": "r", "tenant": "default"}
    events = [
        Finished(**common, time_ms=1000, stage="audio", seconds=1),
        Finished(**common, time_ms=2000, stage="face", seconds=1),
        Started(**common, time_ms=7500, stage="infer"),
        Started(**common, time_ms=9000, stage="infer", attempt=2),
    ]
    assert demo.waits_of(list(events), {"a"}) == [5.5]


def test_a_busy_replica_is_known_by_its_gauge() -> None:
    text = (
        b'# TYPE lipstage_slots_busy gauge\nlipstage_slots_busy{stage="infer"} 1.0\nlipstage_slots{stage="infer"} 4.0\n'
    )
    assert BUSY.findall(text) == [b"1.0"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_burst_scales_up_and_back_to_zero_and_each_job_has_one_video() -> None:
    command = [sys.executable, "-m", "bench.autoscale.demo", "--jobs", "8", "--most", "3"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        out, _ = process.communicate()
    assert process.returncode == 0
    record = json.loads(out)
    counts = [count for _, _, count in record["by_lag"]["replicas"]]
    assert counts[0] == counts[-1] == 0
    assert max(counts) == 3
    for part in (record["by_lag"], record["fixed"]):
        assert part["lost"] == part["more_than_one_video"] == part["busy_replicas_removed"] == 0
    left = subprocess.run(["ps", "-o", "args=", "-s", str(process.pid)], capture_output=True, text=True)
    assert left.stdout == "", "the demo ends every process of its session"
