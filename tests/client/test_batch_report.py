"""The report of a batch: a row for each job, in the order of the manifest, for spreadsheets and scripts."""

import csv
import json
import stat
from pathlib import Path

import pytest

from shared.client import BatchState, InvalidRequest, TargetUnwritable, batch_report
from shared.messages.events import parse_event


def batch() -> BatchState:
    """A done, a rejected and a running job."""
    base = {"tenant": "default", "request_id": "r", "submitted_ms": 1_700_000_000_000}
    ref = {"bucket": "artifacts", "key": "jobs/default/j0/encode/a/video.mp4", "sha256": "0" * 64, "size": 7}
    done = {
        **{"duration_s": 10.0, "width": 512, "height": 512, "fps": 25, "engine": "puppet", "total_s": 5.25},
        **{
            "seconds": {"audio": 0.5, "infer": 2.5},
            "video": ref,
            "poster": ref | {"key": "p"},
            "container_drift_ms": 0.0,
        },
        **{"audio_drift_ms": 0, "audio_duration_gap_ms": 0.0, "lip_offset_ms": None},
    }
    rejected = {"stage": "face", "code": "NO_FACE", "message": '=no face; look, "again"\nplease'}
    events = [
        {"type": "accepted", "job_id": "j2", "engine": "puppet", "labels": {"take": "ä"}},
        {"type": "rejected", "job_id": "j1", **rejected},
        {"type": "done", "job_id": "j0", **done},
    ]
    state = BatchState("b1", "default")
    for number, event in enumerate(events):
        place = {
            "batch": {"id": "b1", "index": int(event["job_id"][1:]), "total": 3},
            "time_ms": 1_700_000_000_500 + number,
        }
        assert state.apply(parse_event(json.dumps({**base, **place, **event}).encode()))
    return state


def test_jsonl_and_csv_have_the_same_rows(tmp_path: Path) -> None:
    state = batch()
    batch_report.write(tmp_path / "report.jsonl", state)
    rows = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    assert [(row["row"], row["job_id"], row["status"], row["code"]) for row in rows] == [
        (1, "j0", "done", None),
        (2, "j1", "rejected", "NO_FACE"),
        (3, "j2", "accepted", None),
    ]
    assert rows[0]["video_key"] == "jobs/default/j0/encode/a/video.mp4"
    assert (rows[0]["seconds"], rows[0]["infer_s"], rows[0]["video_s"]) == (5.25, 2.5, 10.0)
    assert rows[0]["submitted"] == "2023-11-14T22:13:20+00:00"
    assert json.loads(rows[2]["labels"]) == {"take": "ä"}
    batch_report.write(tmp_path / "report.csv", state)
    with (tmp_path / "report.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert table[1]["message"] == '\'=no face; look, "again"\nplease', "no cell is a formula"
    table[1]["message"] = table[1]["message"][1:]
    assert table == [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]


def test_a_report_replaces_a_former_one_whole_and_keeps_it_private(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_text("former")
    path.chmod(0o600)
    batch_report.write(path, batch())
    assert len(path.read_text().splitlines()) == 5, "a message may hold a line break"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["report.csv"]


def test_a_report_that_can_not_be_written_is_refused_before_watching(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no known format"):
        batch_report.checked(tmp_path / "report.xlsx")
    with pytest.raises(TargetUnwritable, match="can't be written"):
        batch_report.checked(tmp_path / "nowhere" / "report.csv")
