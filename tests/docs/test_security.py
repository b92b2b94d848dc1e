"""SECURITY.md: every test that it names exists, and what it states of our code holds."""

import ast
import re
from functools import cache

import pytest

from tests.conftest import ROOT

TEXT = (ROOT / "SECURITY.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))
_ROW = re.compile(r"^\| (?P<threat>[^|]+) \| (?P<control>[^|]+) \| (?P<tests>[^|]+) \|$", re.MULTILINE)


@cache
def functions(path: str) -> set[str]:
    """The names of the functions of a module."""
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("path", "name"), NAMED, ids=lambda value: value.rpartition("/")[2])
def test_named_test_exists(path: str, name: str) -> None:
    assert (ROOT / path).is_file()
    assert name in functions(path)


def test_every_threat_names_a_test() -> None:
    section = TEXT.partition("### Threats, controls, tests")[2].partition("### Not covered")[0]
    rows = [row for row in _ROW.finditer(section) if row["threat"] != "threat" and not row["threat"].startswith("---")]
    assert len(rows) > 25
    assert [row["threat"] for row in rows if not re.search(r"`tests/[\w/]+\.py::\w+`", row["tests"])] == []


def test_opencv_opens_no_media() -> None:
    """It carries decoders of its own, which are older than those that are checked."""
    opening = re.compile(r"cv2\.(imread|imdecode|imreadmulti|VideoCapture|FileStorage|imwrite|VideoWriter|dnn)\b")
    sources = [path for folder in ("shared", "stages") for path in sorted((ROOT / folder).rglob("*.py"))]
    assert [str(path) for path in sources if opening.search(path.read_text())] == []
    assert opening.search("cv2.imread(path)")
