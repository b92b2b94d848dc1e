"""Start one program of the stack on a leash: the kernel kills it when the supervisor ends, however it ends.

Run as a file by the supervisor with the path of a program file (JSON, as `program` writes it). Only the standard
library, so that it costs a few milliseconds. Secrets reach the program here, from the secrets file, and so stand
neither in the supervisor's configuration nor in a command line.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
OTHER_CREDENTIALS = ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE")
"""What the caller may have of another store's: left beside the local key pair, it would make every request fail."""
CACHE_KEYS = ("LIPSTAGE_CACHE_KEY", "LIPSTAGE_CACHE_KEY_FILE")


def leash(parent: int) -> None:
    """SIGKILL for this process when its parent thread ends; kept across exec. Exits when the parent has gone."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        sys.exit(1)


def main(program_file: str) -> None:
    """Become the program that the file describes."""
    program = json.loads(Path(program_file).read_text())
    leash(int(Path(program["supervisor"]).read_text()))
    environment = {**os.environ, **program["env"]}
    wants_secrets = program["with_credentials"] or program["with_cache_key"]
    secrets = json.loads(Path(program["secrets"]).read_text()) if wants_secrets else {}
    if program["with_credentials"]:
        environment["AWS_ACCESS_KEY_ID"] = secrets["access_key"]
        environment["AWS_SECRET_ACCESS_KEY"] = secrets["secret_key"]
        for name in OTHER_CREDENTIALS:
            environment.pop(name, None)
    if program["with_cache_key"] and not any(environment.get(name) for name in CACHE_KEYS):
        environment["LIPSTAGE_CACHE_KEY"] = secrets["cache_key"]
    os.chdir(program["cwd"])
    os.execve(program["argv"][0], program["argv"], environment)


if __name__ == "__main__":
    main(sys.argv[1])
