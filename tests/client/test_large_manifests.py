"""Large and odd manifests are answered in seconds and by sentences: no search without a bound, no traceback."""

import difflib
import json
from pathlib import Path
from typing import Any

import pytest

from shared.client import InvalidManifest, InvalidRequest, local_files, manifest, manifest_specs
from shared.client.local_files import FileLimits

LIMITS = FileLimits(1, 1)
ROWS = 300


@pytest.fixture(autouse=True)
def media(tmp_path: Path) -> None:
    for name in ("portrait.png", "speech.wav"):
        (tmp_path / name).write_bytes(b"not opened by a client")


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of names that each search for a near name compares."""
    search, numbers = difflib.get_close_matches, list[int]()

    def counting(word: str, possibilities: Any, **options: Any) -> list[str]:
        names = list(possibilities)
        numbers.append(len(names))
        return search(word, names, **options)

    monkeypatch.setattr(difflib, "get_close_matches", counting)
    return numbers


def faults(path: Path, content: str) -> tuple[str, ...]:
    path.write_text(content)
    with pytest.raises(InvalidManifest) as raised:
        manifest.read(path, {}, LIMITS, "batch-1")
    return raised.value.details


def test_only_the_first_missing_files_get_a_suggestion(tmp_path: Path, compared: list[int]) -> None:
    found = faults(tmp_path / "jobs.csv", "portrait,speech\n" + "portrai.png,speech.wav\n" * ROWS)
    assert len(compared) == manifest_specs.MAX_SEARCHES
    assert [f"did you mean {tmp_path}/portrait.png?" in line for line in found[:-1]] == [
        number < manifest_specs.MAX_SEARCHES for number in range(manifest.MAX_SHOWN)
    ]


def test_a_large_folder_is_not_searched(tmp_path: Path, compared: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_files, "MAX_NAMES", 2)
    (fault,) = faults(tmp_path / "jobs.csv", "portrait,speech\nportrai.png,speech.wav\n")
    assert fault.endswith("portrai.png does not exist")
    assert not compared


def test_a_row_of_many_unknown_fields_gets_its_first_faults(tmp_path: Path, compared: list[int]) -> None:
    row = {"portrait": "portrait.png", "speech": "speech.wav"} | {f"unknown_{n}": 1 for n in range(ROWS)}
    assert len(faults(tmp_path / "jobs.jsonl", json.dumps(row))) == manifest_specs.MAX_FAULTS_OF_ROW
    assert len(compared) == manifest_specs.MAX_FAULTS_OF_ROW


def test_a_field_that_is_unknown_in_every_row_is_searched_for_once(tmp_path: Path, compared: list[int]) -> None:
    row = {"portrait": "portrait.png", "speech": "speech.wav", "sead": 1}
    found = faults(tmp_path / "jobs.jsonl", f"{json.dumps(row)}\n" * ROWS)
    assert found[0].endswith("did you mean seed?")
    assert len(compared) <= 1


@pytest.mark.parametrize("content", ["portrait,{0}", "{0}\nportrait,speech\n", "sep=;\nportrait;{0}\n"])
def test_a_header_cell_over_the_limit_of_csv_is_a_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text(content.format("x" * 200_000))
    with pytest.raises(InvalidRequest, match=r"line [12]: not CSV: field larger than field limit"):
        manifest.read(path, {}, LIMITS)


def test_a_header_of_too_many_columns_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text("portrait,speech," + ",".join(f"labels.{n}" for n in range(500)) + "\n")
    with pytest.raises(InvalidRequest, match="line 1: 502 columns; at most 200 are read"):
        manifest.read(path, {}, LIMITS)
