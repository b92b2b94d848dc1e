"""A handler for the slot's tests: does what the job's first label says."""

import json
import os
import signal
import struct
import sys
import time

from pydantic import BaseModel

from shared.slot.api import Context, Handler, Result, Task


class Facts(BaseModel):
    environment: list[str] = []
    pid: int = 0
    saved: str | None = None


def load() -> Handler:
    return handle


def handle(context: Context, task: Task) -> Result:
    match task.job.request.labels["do"]:
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            time.sleep(60)
        case "fail":
            raise KeyError("a bug")
        case "wait":
            while True:
                context.progress(1, 2)
                time.sleep(0.01)
        case "half":
            # Half of a length prefix, and then silence: what a child under another's control could do.
            pipe = next(a for at, a in enumerate(sys.argv) if sys.argv[at - 1] == "--pipe")
            os.write(int(pipe), b"\0\0")
            time.sleep(60)
        case "flood":
            pipe = next(a for at, a in enumerate(sys.argv) if sys.argv[at - 1] == "--pipe")
            os.write(int(pipe), struct.pack("!i", 1 << 30))
            time.sleep(60)
        case "ship" | "ship and fail" as do:
            for number in range(6):
                path = context.scratch / f"chunk-{number}"
                path.write_bytes(b"x")
                context.ship("frames", path, 1)
            if do == "ship and fail":
                raise KeyError("a bug")
        case "go on":
            if context.saved is not None:
                return Result(facts=Facts(saved=context.saved.read_text()))
            for number in range(3):
                path = context.scratch / f"state-{number}"
                path.write_text(f"{number}")
                context.save(path, number)
                # As work would take its time: each is stored before the next comes.
                while path.exists():
                    time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        case "hand over nothing":
            context.save(context.scratch / "state", 1)
        case "hand over a link":
            path = context.scratch / "state"
            path.symlink_to("/proc/self/environ")
            context.save(path, 1)
    names = json.loads(json.dumps(sorted(os.environ)))
    return Result(facts=Facts(environment=names, pid=os.getpid()))
