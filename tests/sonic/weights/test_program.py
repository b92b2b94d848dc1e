"""The program as the command line runs it: a separate process, JSON lines, exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from stages.infer.sonic.weights.layout import MANIFEST, OFFICIAL, Part
from tests.sonic.weights.conftest import replace

ROOT = Path(__file__).parents[3]


def program(*arguments: object) -> tuple[int, dict[str, Any]]:
    """Exit code and last line."""
    command = [sys.executable, "-m", "stages.infer.sonic.weights", "--parent", str(os.getpid()), *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    completed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert completed.stdout, completed.stderr
    return completed.returncode, json.loads(completed.stdout.splitlines()[-1])


def test_check_convert_and_check_the_result(pristine: Path, tmp_path: Path) -> None:
    code, printed = program("check", pristine)
    assert (code, printed["report"]["faults"]) == (0, [])
    out = tmp_path / "out"
    code, printed = program("convert", pristine, out, "--licence", '{"accepted": "now"}')
    assert (code, printed["report"]["licence"]) == (0, {"accepted": "now"})
    code, printed = program("check", out, "--quick")
    assert (code, printed["report"]["layout"], printed["report"]["faults"]) == (0, "converted", [])


def test_faults_and_refusals_exit_with_2(tree: Path, tmp_path: Path) -> None:
    unet = tree / OFFICIAL.files[Part.UNET].path
    replace(unet, unet.read_bytes()[:1000])
    code, printed = program("check", tree, "--quick")
    assert (code, [fault["code"] for fault in printed["report"]["faults"]]) == (2, ["TRUNCATED"])
    code, printed = program("convert", tree, tmp_path / "out", "--licence", '{"accepted": "now"}')
    assert (code, printed["refused"]["code"]) == (2, "TRUNCATED")


def test_conversion_needs_an_accepted_licence(pristine: Path, tmp_path: Path) -> None:
    code, printed = program("convert", pristine, tmp_path / "out")
    assert (code, printed["refused"]["code"]) == (2, "LICENCE_NOT_ACCEPTED")
    assert not (tmp_path / "out" / MANIFEST).exists()
