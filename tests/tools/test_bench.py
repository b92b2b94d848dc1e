"""The benchmarks run and print their record; their figures are not evaluated here."""

import hashlib
import json
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from bench import alone, hop, realtime
from tests.conftest import ROOT


def test_encode_prints_one_record_and_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "results" / "encode.json"
    options = ["--seconds", "0.4", "--width", "128", "--height", "96", "--rounds", "2", "--json", str(file)]
    done = subprocess.run([sys.executable, "-m", "bench.encode", *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record == json.loads(file.read_text())
    assert record["benchmark"] == "encode"
    assert record["video"] == "128x96, 10 frames"
    assert set(record["cpu_s"]) == set(record["bytes"]) == {"ours", "plain"}
    assert record["cpu_ratio_plain_to_ours"] > 0


def test_no_run_of_realtime_has_files_that_another_had(tmp_path: Path) -> None:
    digests = set()
    for run in range(3):
        folder = tmp_path / str(run)
        folder.mkdir()
        files = realtime.unseen(folder)
        digests |= {hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
        with wave.open(str(files[1])) as sound:
            assert sound.getnframes() / sound.getframerate() == pytest.approx(10.09, abs=0.01)
    assert len(digests) == 6


def test_the_hops_handlers_run_in_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hop.echo.SIZE, "")
    assert len(hop.in_one_process(1024, 3, tmp_path)) == 3
    assert all((tmp_path / f"2-{stage}").is_dir() for stage in hop.STAGES)


def test_the_infer_stage_alone_runs_in_turns_with_a_baseline() -> None:
    pairs = alone.alternate(ROOT, ROOT, 256, 1)
    assert len(pairs) == 1
    for run in pairs[0]:
        assert run.video_s == pytest.approx(10.09, abs=0.02)
        assert run.cpu_s > 0 and run.x_real_time == run.video_s / run.wall_s and run.peak_mb > 50


def test_a_baseline_needs_an_environment_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="make setup-dev"):
        alone.interpreter(tmp_path)
