"""What a service writes to stderr is logged line by line, and stderr keeps what programs expect of a stream."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shared.telemetry.stderr_lines import MAX_LINE, StderrLines

ROOT = Path(__file__).resolve().parents[2]
SETUP = "import faulthandler, subprocess, sys, threading\nfrom shared.telemetry import logs\nlogs.setup('audio')\n"


def run(program: str) -> tuple[list[str], subprocess.CompletedProcess[str]]:
    """The logged texts of stderr, and the process."""
    process = subprocess.run([sys.executable, "-c", SETUP + program], capture_output=True, text=True, cwd=ROOT)
    lines = [json.loads(line) for line in process.stdout.splitlines()]
    return [line["text"] for line in lines if line["event"] == "stderr"], process


@pytest.mark.parametrize(
    ("program", "texts"),
    [
        ("sys.stderr.write('one'); sys.stderr.flush(); print('two', file=sys.stderr)", ["one", "two"]),
        ("print('one', end='', file=sys.stderr, flush=True); sys.stderr.write('two\\n')", ["one", "two"]),
        ("sys.stderr.write('in '); sys.stderr.write('pieces\\n')", ["in pieces"]),
        ("sys.stderr.write('10 %\\r20 %\\r'); sys.stderr.write('30 %\\n')", ["10 %", "20 %", "30 %"]),
        ("sys.stderr.write('a\\r\\n\\r\\nb\\n')", ["a", "b"]),
        ("sys.stderr.write('last words')", ["last words"]),
        ("t = threading.Thread(target=sys.stderr.write, args=('of a thread',)); t.start(); t.join()", ["of a thread"]),
        ("raise SystemExit('reason')", ["reason"]),
        ("[sys.stderr.write('x ' * 9000) for _ in range(9)]; sys.stderr.write('\\ny\\n')", ["x " * 1000, "y"]),
        ("sys.stderr.buffer.write(b'caf\\xc3\\xa9\\n'); sys.stderr.buffer.flush()", ["café"]),
    ],
)
def test_lines_are_logged_complete_and_apart(program: str, texts: list[str]) -> None:
    logged, process = run(program)
    assert logged == texts
    assert process.stderr == ""


def test_a_line_without_end_takes_bounded_memory() -> None:
    stream = StderrLines()
    for _ in range(10):
        stream.write("x" * MAX_LINE)
    assert list(map(len, stream._unfinished.values())) == [MAX_LINE]
    stream._unfinished.clear()  # Else it is logged when the stream is deleted.


def test_stderr_has_descriptor_encoding_and_errors() -> None:
    logged, process = run("print(sys.stderr.encoding, sys.stderr.errors, sys.stderr.isatty(), file=sys.stderr)")
    assert (logged, process.returncode) == (["utf-8 backslashreplace False"], 0)
    logged, process = run("faulthandler.enable(); subprocess.run(['sh', '-c', 'echo child >&2'], stderr=sys.stderr)")
    assert (logged, process.stderr, process.returncode) == ([], "child\n", 0)
