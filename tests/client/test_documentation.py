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


def examples(page: str) -> list[str]:
    """The Python blocks of a page that render something."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    return [block for block in blocks if "client.render(" in block]


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


def test_docs_name_every_method_and_error_of_the_client() -> None:
    page = (ROOT / "docs" / "client.md").read_text()
    methods = {name for name, value in vars(client.Client).items() if callable(value) and not name.startswith("_")}
    exported = [getattr(client, name) for name in client.__all__]
    errors = {one.__name__ for one in exported if isinstance(one, type) and issubclass(one, client.ClientError)}
    undocumented = {name for name in methods | errors if not re.search(rf"`[^`]*\b{name}\b[^`]*`", page)}
    assert undocumented == set()


def test_examples_need_nothing_of_this_repository() -> None:
    for path in (ROOT / "examples").glob("*.py"):
        assert not re.search(r"^\s*(from|import) (shared|stages)\b", path.read_text(), re.MULTILINE), path.name
