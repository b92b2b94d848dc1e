"""The start of a service removes the scratch folders of killed services, and keeps those of running ones."""

import signal
import subprocess
import sys
from pathlib import Path

from shared.runtime.execute.scratch import Scratch

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys
from pathlib import Path
from shared.runtime.execute.scratch import Scratch
scratch = Scratch(Path(sys.argv[1]))
(scratch.path / "portrait").write_bytes(b"media")
print(scratch.path, flush=True)
sys.stdin.read()
"""


def test_scratch_folder_of_a_killed_service_is_removed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as other:
        assert other.stdout is not None
        left = Path(other.stdout.readline().strip())
        mine = Scratch(tmp_path)
        assert (left / "portrait").exists(), "its service is running"
        other.send_signal(signal.SIGKILL)
        other.wait()
    Scratch(tmp_path).close()
    assert not left.exists()
    assert mine.path.exists()
    mine.close()
    assert list(tmp_path.iterdir()) == []


def test_process_that_ends_without_closing_its_scratch_folder_leaves_none(tmp_path: Path) -> None:
    """As after a second signal, which ends a service at once."""
    ending = HOLD.replace("sys.stdin.read()", "raise SystemExit(1)")
    done = subprocess.run([sys.executable, "-c", ending, str(tmp_path)], cwd=ROOT, stdout=subprocess.DEVNULL)
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []
