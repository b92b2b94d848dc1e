"""The key of the hashes: generated once for a local stack, also for one of an older version; the environment wins."""

import json
from pathlib import Path

import pytest

from shared.local.credentials import FILE, load_or_create
from shared.local.hash_keys import pseudonyms_of
from shared.local.stack_file import Stack
from shared.telemetry.pseudonyms import VARIABLE, parse


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def running(folder: Path) -> Stack:
    return Stack.model_construct(state_dir=folder)


def test_generated_key_stays(tmp_path: Path) -> None:
    first = pseudonyms_of(running(tmp_path)).of("bob")
    assert first.startswith("k1:")
    assert pseudonyms_of(running(tmp_path)).of("bob") == first
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    assert [file.name for file in tmp_path.iterdir()] == [FILE], "no temporary file stays"


def test_file_of_an_older_version_is_completed(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps({"access_key": "a", "secret_key": "b", "cache_key": "c"}))
    completed = load_or_create(tmp_path)
    assert (completed.access_key, completed.secret_key, completed.cache_key) == ("a", "b", "c")
    assert load_or_create(tmp_path) == completed
    assert parse(completed.hash_key)
    assert completed.hash_key.partition(":")[2] not in repr(completed)


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "k7:a-secret-of-the-tests")
    assert pseudonyms_of(running(tmp_path)).of("bob").startswith("k7:")
    assert pseudonyms_of(None).of("bob").startswith("k7:")


def test_without_a_key_nobody_can_be_looked_up() -> None:
    with pytest.raises(LookupError, match=VARIABLE):
        pseudonyms_of(None)
