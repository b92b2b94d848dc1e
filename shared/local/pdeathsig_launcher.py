"""Starts one program of the stack with PR_SET_PDEATHSIG: the kernel kills it when the supervisor ends in any way.

The supervisor runs this file with the path of a program file (JSON, written by `program`). It imports only the standard
library, so that it takes a few milliseconds. It adds the secrets from the secrets file to the program's environment;
they appear neither in the supervisor's configuration nor in a command line.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
OTHER_CREDENTIALS = ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE")
"""The caller's credentials of another object store; beside the local key pair they would make every request fail."""
CACHE_KEYS = ("LIPSTAGE_CACHE_KEY", "LIPSTAGE_CACHE_KEY_FILE")


def set_pdeathsig(parent: int) -> None:
    """Have the kernel SIGKILL this process when its parent ends; kept across exec. Exits if the parent has ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        sys.exit(1)


def main(program_file: str) -> None:
    """Replace this process by the program that the file describes."""
    program = json.loads(Path(program_file).read_text())
    set_pdeathsig(int(Path(program["supervisor"]).read_text()))
    environment = {**os.environ, **program["env"]}
    needs_secrets = program["with_credentials"] or program["with_cache_key"] or program["with_webhook_key"]
    secrets = json.loads(Path(program["secrets"]).read_text()) if needs_secrets else {}
    if program["with_credentials"]:
        environment["AWS_ACCESS_KEY_ID"] = secrets["access_key"]
        environment["AWS_SECRET_ACCESS_KEY"] = secrets["secret_key"]
        for name in OTHER_CREDENTIALS:
            environment.pop(name, None)
    if program["with_cache_key"] and not any(environment.get(name) for name in CACHE_KEYS):
        environment["LIPSTAGE_CACHE_KEY"] = secrets["cache_key"]
    if program["with_cache_key"] and not environment.get("LIPSTAGE_HASH_KEY") and secrets.get("hash_key"):
        environment["LIPSTAGE_HASH_KEY"] = secrets["hash_key"]
    if program["with_webhook_key"] and not environment.get("LIPSTAGE_WEBHOOK_KEY"):
        environment["LIPSTAGE_WEBHOOK_KEY"] = secrets["webhook_key"]
    os.chdir(program["cwd"])
    os.execve(program["argv"][0], program["argv"], environment)


if __name__ == "__main__":
    main(sys.argv[1])
