"""bench.throughput: it measures a stack from outside and judges by its targets; its figures are not evaluated here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import stack_of, throughput
from tests.conftest import ROOT

FIGURES = {
    "batch": 0.8,
    "alone": 0.9,
    "first_produce_ms": 50.0,
    "store_mb_during": 11.0,
    "store_mb_after": 1.0,
    "cpu_s_beside_handlers": 1.3,
}


def test_figures_are_judged_by_the_side_of_their_target() -> None:
    rows = throughput.judged(FIGURES)
    assert [name for name, row in rows.items() if not row["met"]] == [
        "alone",
        "store_mb_during",
        "cpu_s_beside_handlers",
    ]
    meaning = throughput.TARGETS["batch"][2]
    assert rows["batch"] == {"meaning": meaning, "figure": 0.8, "target": "at least 0.75", "met": True}
    assert not throughput.judged({"tail": 3.9})["tail"]["met"]


def test_part_that_used_less_than_a_clock_tick_is_listed() -> None:
    before, after = {"store": 1.0, "broker": 2.0}, {"store": 1.5, "broker": 2.0, "handler infer": 0.25}
    assert stack_of.used(before, after) == {"store": 0.5, "broker": 0.0, "handler infer": 0.25}


def test_a_process_that_ends_is_reported(tmp_path: Path) -> None:
    jobs = [{"portrait": str(tmp_path / "none.png"), "speech": str(tmp_path / "none.wav"), "size": 256, "seed": 1}]
    with throughput.plain(ROOT) as processes, pytest.raises(SystemExit, match="has ended"):
        throughput.plain_batch(processes[:1], jobs)


@pytest.mark.slow
def test_a_short_run_measures_every_part(tmp_path: Path) -> None:
    file = tmp_path / "throughput.json"
    options = ["--jobs", "2", "--alone", "1", "--size", "256", "--json", str(file)]
    command = [sys.executable, "-m", "bench.throughput", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record = json.loads(file.read_text())
    assert record["command"] == "python -m bench.throughput --jobs 2 --alone 1 --size 256"
    assert set(record["targets"]) == set(throughput.TARGETS) - {"tail"}, "which needs a baseline"
    stages = ("audio", "face", "infer", "encode")
    arm = record["pipeline"]
    cpu = arm["batch"]["cpu_s_a_job"]
    assert {"client", "store", "broker", *(f"{p} {s}" for p in ("handler", "parent") for s in stages)} <= set(cpu)
    assert sum(seconds for part, seconds in cpu.items() if part != "all") == pytest.approx(cpu["all"], abs=0.02)
    assert cpu["handler infer"] > cpu["parent infer"] > 0
    requests = arm["batch"]["requests_a_job"]
    assert requests["artifacts.put"] > 4 and requests["documents.put_once"] >= 4
    # The frames of 10 s at 256 are 25 MB before coding; the video stays, and they do not.
    assert arm["store_mb"]["during"]["jobs"] > arm["store_mb"]["after"]["jobs"] > 0.1
    assert arm["alone"]["wall_s"] > arm["alone"]["tail_s"] > 0
    assert set(arm["alone"]["stage_s"]) == set(stages)
    assert set(record["plain"]["batch"]["cpu_s_a_job"]) == {*stages, "all"}
