"""Runs `python -m shared.runtime` in a fork for each line of stdin: ``[arguments, variables]``. For each it prints
``[exit status, stdout, stderr]``."""

import json
import os
import sys
import tempfile

from shared.runtime.__main__ import main

for line in sys.stdin:
    arguments, variables = json.loads(line)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            os.environ.update(variables)
            status = 99
            try:
                status = main(arguments)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        print(json.dumps([status, out.read(), err.read()]), flush=True)
