"""The program as the command line runs it: a process of its own, JSON lines, exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from stages.infer.sonic.layout import MANIFEST, OFFICIAL, Part
from tests.sonic.weights.conftest import replace

ROOT = Path(__file__).parents[3]


def program(*arguments: object) -> tuple[int, dict[str, Any]]:
    """Exit code and last line."""
    command = [sys.executable, "-m", "stages.infer.sonic.weights", "--parent", str(os.getpid()), *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_check_convert_and_check_again(pristine: Path, tmp_path: Path) -> None:
    code, said = program("check", pristine)
    assert (code, said["report"]["faults"]) == (0, [])
    out = tmp_path / "out"
    code, said = program("convert", pristine, out, "--licence", '{"accepted": "now"}')
    assert (code, said["report"]["licence"]) == (0, {"accepted": "now"})
    code, said = program("check", out, "--quick")
    assert (code, said["report"]["layout"], said["report"]["faults"]) == (0, "converted", [])


def test_faults_and_refusals_exit_2(tree: Path, tmp_path: Path) -> None:
    unet = tree / OFFICIAL.files[Part.UNET].path
    replace(unet, unet.read_bytes()[:1000])
    code, said = program("check", tree, "--quick")
    assert (code, [fault["code"] for fault in said["report"]["faults"]]) == (2, ["TRUNCATED"])
    code, said = program("convert", tree, tmp_path / "out", "--licence", '{"accepted": "now"}')
    assert (code, said["refused"]["code"]) == (2, "TRUNCATED")


def test_nothing_is_converted_without_an_accepted_licence(pristine: Path, tmp_path: Path) -> None:
    code, said = program("convert", pristine, tmp_path / "out")
    assert (code, said["refused"]["code"]) == (2, "LICENCE_NOT_ACCEPTED")
    assert not (tmp_path / "out" / MANIFEST).exists()
