"""The broker's jars: missing and altered ones are downloaded, others are kept."""

from collections import Counter
from pathlib import Path

import pytest

from shared.local import jars
from shared.local.errors import StackCode, StackError
from shared.local.jars import Jar, sha256_of


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replaces Maven Central: three files, and a lock file with their digests."""
    folder = tmp_path / "repository"
    folder.mkdir()
    locked = []
    for name in "abc":
        file = folder / f"{name}-1.jar"
        file.write_text(f"the jar {name}")
        locked.append(Jar("org", name, "1", sha256_of(file)))
    monkeypatch.setattr(jars, "locked", lambda: tuple(locked))
    monkeypatch.setattr(jars, "_resolve", lambda jar: folder / jar.filename)
    return folder


def test_only_missing_and_altered_jars_are_downloaded(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, notes = tmp_path / "jars", list[str]()
    path = jars.ready(target, notes.append)
    assert [file.name for file in path] == ["a-1.jar", "b-1.jar", "c-1.jar"]
    assert (len(notes), notes[-1]) == (4, "3 of 3 files")
    (target / "b-1.jar").write_text("altered")
    (target / "c-1.jar").unlink()
    requested: list[str] = []

    def resolve(jar: Jar) -> Path:
        requested.append(jar.artifact)
        return repository / jar.filename

    monkeypatch.setattr(jars, "_resolve", resolve)
    assert jars.ready(target, notes.append) == path
    assert sorted(requested) == ["b", "c"]
    assert jars.ready(target, notes.append) == path
    assert (len(requested), len(notes)) == (2, 7), "all jars are in place: nothing is requested"


def test_download_with_a_wrong_digest_is_rejected(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requested: list[str] = []

    def altered(jar: Jar) -> Path:
        requested.append(jar.artifact)
        (repository / jar.filename).write_text("not what was locked")
        return repository / jar.filename

    monkeypatch.setattr(jars, "_resolve", altered)
    with pytest.raises(StackError) as error:
        jars.ready(tmp_path / "jars", lambda _: None)
    assert error.value.code == StackCode.JARS_ALTERED
    assert set(Counter(requested).values()) == {2}, "a broken download is deleted and requested once more"
    assert list((tmp_path / "jars").iterdir()) == []


def test_no_network_and_unwritable_folder_are_one_line(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(jar: Jar) -> Path:
        raise RuntimeError("no route")

    monkeypatch.setattr(jars, "_resolve", offline)
    with pytest.raises(StackError, match="the first start needs a network") as error:
        jars.ready(tmp_path / "jars", lambda _: None)
    assert error.value.code == StackCode.JARS_MISSING
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="set LIPSTAGE_JARS_DIR"):
        jars.ready(tmp_path / "file" / "jars", lambda _: None)


def test_locked_kafka_release_is_read_from_the_list() -> None:
    assert jars.kafka_version().startswith("4.")
