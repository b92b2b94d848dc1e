"""The task that every peer runs, and the journal from which the benchmark reads what happened."""

import json
import os
import time
from pathlib import Path
from typing import Any

from bench.checkout.handlers import ENVIRONMENT, Handlers

FOLDER = "PEERS_FOLDER"
RELIABLE = "PEERS_RELIABLE"
"""Environment variable that is set for the settings that the peer's documentation recommends against losses."""
_loaded: list[Handlers] = []


def is_reliable() -> bool:
    """Whether to use these settings instead of the defaults."""
    return bool(os.environ.get(RELIABLE))


def note(event: str, job: str = "") -> None:
    """Append a line to the journal: the event, its job, this process and the time of the monotonic clock."""
    line = json.dumps({"event": event, "job": job, "pid": os.getpid(), "at": time.monotonic()}) + "\n"
    file = os.open(Path(os.environ[FOLDER]) / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def load() -> None:
    """Load the networks of this process; it is then ready."""
    os.environ.update(ENVIRONMENT)
    _loaded.append(Handlers())
    note("ready")


def run(job: dict[str, Any]) -> None:
    """Render one job; the video lies beside the journal."""
    note("start", job["id"])
    _loaded[0].render(job, Path(os.environ[FOLDER]) / f"{job['id']}.mp4")
    note("end", job["id"])
