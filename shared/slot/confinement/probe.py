"""What worker processes can be confined to on this machine, or in this container: found out by a process that does it.

For `lipstage doctor` and for services that must not start without full confinement.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from shared.slot.confinement import policy
from shared.slot.confinement.confine import confinement

TIMEOUT_S = 30.0
_MODULE = "shared.slot.confinement.probe"


def missing() -> tuple[str, ...]:
    """One line for each part of confinement that worker processes would lack; empty: full confinement.

    Takes about a quarter of a second. Raises OSError when the process can't be started or ends without an answer.
    """
    with tempfile.TemporaryDirectory(prefix="confinement-probe-") as folder:
        command = [sys.executable, "-P", "-m", _MODULE, folder]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
        except subprocess.SubprocessError as e:
            raise OSError(f"the check of confinement failed: {e}") from e
    return tuple(json.loads(done.stdout))


def main(folder: Path) -> None:
    """Confine this process to ``folder`` and print the lines as JSON."""
    for part in (policy.INPUTS, policy.WORK):
        (folder / part).mkdir()
    own = confinement("auto", accelerator=False)
    own.before_load(folder, _MODULE, ())
    own.after_load()
    sys.stdout.write(json.dumps(own.missing))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
