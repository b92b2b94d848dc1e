"""The command line with a state folder of its own, and a stand-in for the program that opens weights."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Lipstage


@pytest.fixture
def lipstage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lipstage:
    """The command line with a state folder of its own and no weights."""
    monkeypatch.setenv("LIPSTAGE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("LIPSTAGE_SONIC_WEIGHTS", raising=False)
    monkeypatch.setenv("LIPSTAGE_WEIGHTS_CACHE", str(tmp_path / "cache"))
    return Lipstage()


class Program:
    """Stands in for the program: says these lines, ends so, and writes down how it was called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.asked = folder / "asked.json"
        self._path = folder / "python"
        monkeypatch.setenv("LIPSTAGE_SONIC_PYTHON", str(self._path))

    def says(self, *lines: dict[str, Any], code: int = 0, complains: str = "") -> None:
        said = "\n".join(json.dumps(line) for line in lines)
        self._path.write_text(
            f"#!{sys.executable}\nimport json, os, sys\n"
            f"json.dump([sys.argv[1:], dict(os.environ)], open({str(self.asked)!r}, 'w'))\n"
            f"print({said!r})\nprint({complains!r}, file=sys.stderr)\nsys.exit({code})\n"
        )
        self._path.chmod(0o755)

    @property
    def arguments(self) -> list[str]:
        return list(json.loads(self.asked.read_text())[0])

    @property
    def environment(self) -> dict[str, str]:
        return dict(json.loads(self.asked.read_text())[1])


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Program:
    return Program(monkeypatch, tmp_path)
