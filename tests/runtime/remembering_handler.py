"""A handler whose process remembers the tenants that it has worked for, as one that a hostile file has taken over."""

import os
import signal
import threading
import time
from pathlib import Path

from pydantic import BaseModel

from shared.slot.api import Context, Handler, Result, Task, Unavailable

UNAVAILABLE = "REMEMBERING_UNAVAILABLE"
"""Variable: while the file exists, the handler can't be loaded."""
THREAD = "REMEMBERING_THREAD"
"""Variable: the handler starts a thread while it loads."""
SEEN: list[str] = []


class Metadata(BaseModel):
    pid: int
    seen: list[str]
    """Tenants of the tasks before in this process."""
    descriptors: list[str]
    """What the process has open."""


def load() -> Handler:
    if Path(os.environ.get(UNAVAILABLE, "none")).exists():
        raise Unavailable("there are no weights")
    if THREAD in os.environ:
        threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    return handle


def handle(context: Context, task: Task) -> Result:
    seen = list(SEEN)
    SEEN.append(task.job.request.tenant)
    match task.job.request.labels["do"]:
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "take much memory":
            bytearray(4 << 30)
        case "wait":
            while True:
                context.progress(1, 2)
                time.sleep(0.01)
    folder = Path("/proc/self/fd")
    descriptors = [str(link.readlink()) for link in folder.iterdir() if link.is_symlink() and link.exists()]
    return Result(metadata=Metadata(pid=os.getpid(), seen=seen, descriptors=descriptors))
