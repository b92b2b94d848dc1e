"""Counts a process's requests to the object store by what they are for, below whichever client sends them."""

import atexit
import json
import os
from collections import Counter
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

FOLDER = "LIPSTAGE_BENCH_REQUESTS"
"""Variable that names the folder into which each process writes its counts when it ends."""
DOCUMENTS = {"request.json": "claim", "end.json": "end"}


def kind(method: str, target: str) -> str:
    """The request in words, as ``GET marker``: its method and the sort of key."""
    path, _, query = target.partition("?")
    _, _, key = path.lstrip("/").partition("/")
    if not key:
        return f"{method} delete" if "delete" in query else f"{method} list"
    parts = key.split("/")
    if parts[0] == "jobs" and len(parts) == 4:
        return f"{method} {DOCUMENTS.get(parts[3], 'marker')}"
    if parts[0] in ("cache", "frames"):
        return f"{method} {parts[0]}"
    return f"{method} artifact" if parts[0] == "jobs" else f"{method} input"


def count() -> None:
    """Count from now on, and write the counts at the end of the process, where the variable asks for it."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return
    counts: Counter[str] = Counter()
    putrequest = HTTPConnection.putrequest

    def counted(self: HTTPConnection, method: str, url: str, *arguments: Any, **options: Any) -> None:
        if "/v1/traces" not in url:  # The exporter of spans.
            counts[kind(method, url)] += 1
        putrequest(self, method, url, *arguments, **options)

    HTTPConnection.putrequest = counted  # type: ignore[method-assign]
    atexit.register(lambda: Path(folder, f"{os.getpid()}.json").write_text(json.dumps(counts)))


def total(folder: Path) -> Counter[str]:
    """The counts of all processes that have ended."""
    counts: Counter[str] = Counter()
    for file in folder.iterdir():
        counts.update(json.loads(file.read_text()))
    return counts
