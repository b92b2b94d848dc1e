"""Inputs that once failed: each ends as it should, in a process with the limits of a worker."""

import re
from pathlib import Path

import pytest

from tests.fuzz import campaign
from tests.fuzz.targets import targets

CORPUS = Path(__file__).parent / "corpus"
MAX_BYTES = 20_000
NAME = re.compile(r"(?P<target>[a-z]+\.[a-z0-9-]+)/(?P<what>[a-z0-9-]+)(\.[a-z0-9]+)?")


def test_corpus_files_are_small_and_named_after_a_target() -> None:
    names = {target.name for target in targets()}
    for path in CORPUS.rglob("*"):
        if path.is_file() and path.name != "README.md":
            found = NAME.fullmatch(str(path.relative_to(CORPUS)))
            assert found and found["target"] in names, path
            assert path.stat().st_size < MAX_BYTES, path


@pytest.mark.parametrize("group", sorted({path.name.partition(".")[0] for path in CORPUS.glob("*.*") if path.is_dir()}))
def test_inputs_that_once_failed_end_as_they_should(group: str, tmp_path: Path) -> None:
    findings = tmp_path / "findings"
    report = campaign.replay(group, CORPUS, findings)
    assert [f"{finding.target}: {finding.kind}\n{finding.detail}" for finding in report.findings] == []
    assert report.executions == sum(1 for path in CORPUS.glob(f"{group}.*/*") if path.is_file())


def test_input_that_ends_the_process_is_found_and_kept(tmp_path: Path) -> None:
    """Of four broken readers: one crashes, one uses too much CPU, one raises, one too much memory."""
    corpus = tmp_path / "corpus"
    (corpus / "broken.reader").mkdir(parents=True)
    for name in ("cpu", "crash", "fine", "memory", "raise"):
        (corpus / "broken.reader" / name).write_bytes(name.encode())
    report = campaign.replay("broken", corpus, tmp_path / "findings", cpu_s=0.5)
    found = {finding.kind.partition(" at ")[0]: finding.path.read_bytes() for finding in report.findings}
    assert found == {"SIGSEGV": b"crash", "too much CPU": b"cpu", "KeyError": b"raise", "MemoryError": b"memory"}
    assert report.crashes == 2
