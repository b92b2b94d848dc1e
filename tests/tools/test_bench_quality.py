"""bench.quality and its films: what it keeps and how it shows it; its figures are not evaluated here."""

import io
import json
import subprocess
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from bench import films, quality
from shared.messages.codes import Code, Rejected
from stages.encode.evaluation.reference import Reference
from tests.conftest import ROOT


def test_quality_keeps_what_was_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A film that lies there is not made again; another engine's is."""
    asked: list[list[dict[str, str]]] = []

    def render(*_: object, input: str, **__: object) -> None:
        jobs = json.loads(input)
        asked.append(jobs)
        for job in jobs:
            Path(job["metadata"]).parent.mkdir(parents=True, exist_ok=True)
            Path(job["metadata"]).write_text("{}")

    monkeypatch.setattr(subprocess, "run", render)
    voice = quality.Voice("v", ROOT / "samples" / "speech.wav", Reference("energy", np.zeros(9), (), None, ()), "none")
    faces = [ROOT / "samples" / "portrait.png"]
    first = quality.films(ROOT, tmp_path, [voice], faces)
    assert quality.films(ROOT, tmp_path, [voice], faces) == first
    assert [len(jobs) for jobs in asked] == [1]
    monkeypatch.setattr(quality, "version", lambda _: "other")
    assert quality.films(ROOT, tmp_path, [voice], faces) != first
    assert len(asked) == 2


@pytest.mark.parametrize(("error", "kept"), [(Rejected(Code.NO_FACE, "no face"), "NO_FACE"), (OSError("full"), None)])
def test_films_keep_rejections_and_no_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kept: str | None
) -> None:
    metadata = tmp_path / "a" / "metadata.json"

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(films, "NAMES", ())
    monkeypatch.setattr(films, "render", fail)
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps([{"metadata": str(metadata)}])))
    with nullcontext() if kept else pytest.raises(OSError, match="full"):
        films.main()
    assert (json.loads(metadata.read_text()) if metadata.exists() else None) == (kept and {"refused": kept})


def test_quality_table_sets_before_beside_after() -> None:
    row = {"voice": "a", "reference": "energy", "portrait": "p"}
    rows = [
        {**row, "before": {"sync_r": 0.5}, "after": {"sync_r": 0.75}},
        {**row, "before": {"sync_r": 0.7}, "after": {"refused": "NO_FACE"}},
    ]
    lines = quality.table(rows, ["before", "after"]).splitlines()
    assert lines[2].split(" | ")[3] == "0.50 -> 0.75"
    assert lines[3].split(" | ")[3] == "0.70 -> NO_FACE"
    assert "0.50 -> 0.75" in lines[5], "the worst of those that were rendered"
