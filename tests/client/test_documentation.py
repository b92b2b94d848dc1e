"""The Python examples of README and docs/client.md run as they are printed, on the real services."""

import os
import re
import subprocess
import sys
from pathlib import Path

import av
import pytest

from shared import client
from tests.conftest import ROOT
from tests.pipeline.conftest import Pipeline, spoken, unseen_start


def blocks(page: str, language: str = "python") -> list[str]:
    """The code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


def examples(page: str) -> list[str]:
    """The Python blocks of a page that render something."""
    return [block for block in blocks(page) if "client.render(" in block]


@pytest.mark.parametrize("page", ["README.md", "docs/client.md"])
def test_the_example_renders_a_video(pipeline: Pipeline, tmp_path: Path, page: str) -> None:
    (example,) = examples(page)
    assert len(example.splitlines()) <= 15
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "portrait.png").symlink_to(ROOT / "samples" / "portrait.png")
    (tmp_path / "samples" / "speech.wav").write_bytes(spoken(1.0, unseen_start()))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", example]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    printed = done.stdout.splitlines()
    assert printed[0] == "accepted"
    assert "done" in printed
    if page == "README.md":
        assert any(line.startswith("1.0 s of video in ") for line in printed)
        assert any(re.fullmatch(r"[0-9a-f]{32} done", line) for line in printed)
    with av.open(str(tmp_path / "out" / "client.mp4")) as file:
        assert sum(1 for _ in file.decode(video=0)) == 25


def test_the_batch_example_renders_two_videos(pipeline: Pipeline, tmp_path: Path) -> None:
    (example,) = [block for block in blocks("docs/client.md") if "client.batch(" in block]
    start = unseen_start()
    (tmp_path / "portrait.png").symlink_to(ROOT / "samples" / "portrait.png")
    for number in range(2):
        (tmp_path / f"{number}.wav").write_bytes(spoken(1.0, start + number / 100))
    (tmp_path / "jobs.csv").write_text("portrait,speech\nportrait.png,0.wav\nportrait.png,1.wav\n")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", example], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines()[-2:]] == ["there", "there"]
    assert len(list((tmp_path / "videos").glob("*.mp4"))) == 2, "the repeat made no new job"


@pytest.mark.parametrize("language", ["csv", "jsonl"])
def test_the_manifests_of_the_docs_are_read(tmp_path: Path, language: str) -> None:
    (example,) = blocks("docs/batch.md", language)
    for name in ("portraits/anna.png", "speech/intro.wav", "speech/outro.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"not opened")
    path = tmp_path / f"jobs.{language}"
    path.write_text(example)
    specs = client.Client().batch(path)
    assert [(spec.fields["labels"], spec.fields["params"]) for spec in specs] == [
        ({"take": take}, {"seed": 7, "min_resolution": 512}) for take in ("intro", "outro")
    ]


def test_docs_name_every_method_and_error_of_the_client() -> None:
    page = (ROOT / "docs" / "client.md").read_text()
    methods = {name for name in dir(client.Client) if callable(getattr(client.Client, name)) and name[0] != "_"}
    exported = [getattr(client, name) for name in client.__all__]
    errors = {one.__name__ for one in exported if isinstance(one, type) and issubclass(one, client.ClientError)}
    undocumented = {name for name in methods | errors if not re.search(rf"`[^`]*\b{name}\b[^`]*`", page)}
    assert undocumented == set()


def test_examples_need_nothing_of_this_repository() -> None:
    for path in (ROOT / "examples").glob("*.py"):
        assert not re.search(r"^\s*(from|import) (shared|stages)\b", path.read_text(), re.MULTILINE), path.name
