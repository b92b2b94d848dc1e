"""docs/gateway.md: its table of statuses is the code's, its routes are those of the application, its examples run."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import av
import pytest

from shared.messages.codes import Code
from stages.gateway.http.context import CLIENT_WENT_AWAY
from stages.gateway.problems import OF_ERRORS, STATUS_OF_CODE
from tests.conftest import ROOT
from tests.gateway.conftest import Gateway
from tests.gateway.test_tenants import ROUTES
from tests.pipeline.conftest import spoken, unseen_start

PAGE = (ROOT / "docs" / "gateway.md").read_text()
OF_THE_ROUTER = {(404, "NOT_FOUND"), (405, "METHOD_NOT_ALLOWED")}
OF_ARTIFACTS = {(410, str(code)) for code in (Code.ARTIFACT_MISSING, Code.ARTIFACT_ALTERED)}
"""What a result can be found to be."""


def documented() -> set[tuple[int, str]]:
    rows = re.findall(r"^\| ([0-9, ]+) \| `([A-Z_]+)` \|", PAGE, re.MULTILINE)
    return {(int(status), code) for statuses, code in rows for status in statuses.split(",")}


def raised() -> set[tuple[int, str]]:
    """Status and code of every ``Problem`` that the gateway makes with both in its source."""
    found = set()
    for file in (ROOT / "stages" / "gateway").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Problem" and len(node.args) > 1:
                status, code = node.args[:2]
                named = re.fullmatch(r"str\(Code\.([A-Z_]+)\)|'([A-Z_]+)'", ast.unparse(code))
                if named is not None:
                    number = status.value if isinstance(status, ast.Constant) else CLIENT_WENT_AWAY
                    assert isinstance(number, int)
                    found.add((number, named[1] or named[2]))
    return found


def test_the_table_of_statuses_is_complete() -> None:
    of_codes = {(status, str(code)) for code, status in STATUS_OF_CODE.items()}
    of_errors = {(status, code) for _, status, code in OF_ERRORS}
    assert documented() == of_codes | of_errors | raised() | OF_THE_ROUTER | OF_ARTIFACTS


def test_every_route_is_explained() -> None:
    table = PAGE.partition("\n## Routes\n")[2].partition("\n## ")[0]
    for _, path in ROUTES:
        last = path.replace("{name:path}", "index.m3u8").rpartition("/")[2]
        assert path in table or last in table, path


def block(language: str, heading: str) -> str:
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.mark.parametrize(
    ("language", "heading"), [("sh", "Quick start with curl"), ("python", "Quick start with Python")]
)
def test_the_quick_start_renders_a_video(live: Gateway, tmp_path: Path, language: str, heading: str) -> None:
    (tmp_path / "portrait.png").symlink_to(ROOT / "samples" / "portrait.png")
    (tmp_path / "speech.wav").write_bytes(spoken(1.0, unseen_start()))
    script = block(language, heading)
    command = ["bash", "-euo", "pipefail", "-c", script] if language == "sh" else [sys.executable, "-I", "-c", script]
    environment = os.environ | {"GATEWAY": live.url, "no_proxy": "127.0.0.1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr + live.log.read_text()[-3000:]
    assert "done" in done.stdout
    with av.open(str(tmp_path / "video.mp4")) as file:
        assert sum(1 for _ in file.decode(video=0)) == 25
