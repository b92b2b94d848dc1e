"""Start one program of the stack on a leash: the kernel kills it when the supervisor ends, however it ends.

Run as a file by the supervisor with the path of a program file (JSON: argv, env, cwd, secrets, supervisor). Only the
standard library, so that it costs a few milliseconds. Credentials reach the program here, from the secrets file,
and so stand neither in the supervisor's configuration nor in a command line.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


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
    if program["secrets"]:
        keys = json.loads(Path(program["secrets"]).read_text())
        environment["AWS_ACCESS_KEY_ID"] = keys["access_key"]
        environment["AWS_SECRET_ACCESS_KEY"] = keys["secret_key"]
        environment.setdefault("LIPSTAGE_CACHE_KEY", keys["cache_key"])
        # The local store knows no session tokens; one left over from the caller would make every request fail.
        environment.pop("AWS_SESSION_TOKEN", None)
        environment.pop("AWS_PROFILE", None)
    os.chdir(program["cwd"])
    os.execve(program["argv"][0], program["argv"], environment)


if __name__ == "__main__":
    main(sys.argv[1])
