"""The shell of a new user: `lipstage` is a command, the folder holds the two samples. Shell blocks of the pages."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import NAMED
from tests.conftest import ROOT

JARS = Path(os.environ.get("LIPSTAGE_JARS_DIR", ROOT / ".lipstage" / "jars"))
FENCE = re.compile(r"(?:<!-- exit code: (\d+) -->\n)?```sh\n(.*?)```", re.DOTALL)


def blocks(page: str, heading: str = "") -> list[tuple[int, str]]:
    """Exit code and text of a page's shell blocks; those under one heading, or all."""
    text = (ROOT / "docs" / page).read_text()
    if heading:
        text = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = [(int(code or 0), script) for code, script in FENCE.findall(text)]
    assert found, f"{page} has no shell block under {heading!r}"
    return found


class Shell:
    """bash in a folder with the two samples, where `lipstage` is a command."""

    def __init__(self, folder: Path, limit_s: float = 280) -> None:
        """``limit_s`` ends a script that takes longer."""
        self.folder = folder
        self.limit_s = limit_s
        commands = folder / "bin"
        commands.mkdir(parents=True)
        for name, program in (("lipstage", "-m shared.cli.main "), ("python", "")):
            launcher = commands / name
            launcher.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} {program}"$@"\n')
            launcher.chmod(0o755)
        self.environment = {name: value for name, value in os.environ.items() if name not in NAMED}
        self.environment |= {"PATH": f"{commands}:{os.environ['PATH']}", "LIPSTAGE_JARS_DIR": str(JARS)}
        for name in ("portrait.png", "speech.wav"):
            shutil.copy(ROOT / "samples" / name, folder)

    def __call__(self, script: str, exit_code: int = 0) -> str:
        """What the script prints. Fails the test on another exit code."""
        command = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=self.limit_s
        )
        assert done.returncode == exit_code, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout
