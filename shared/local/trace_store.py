"""Spans of the local stack in SQLite, by trace and by job; the oldest traces are deleted."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Scalar = bool | int | float | str


@dataclass(frozen=True, slots=True)
class StoredSpan:
    """A span as received: ids in hex, times in nanoseconds since the epoch."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    service: str
    kind: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Scalar]
    events: list[dict[str, Any]]
    links: list[dict[str, str]]
    error: str | None
    """Status message of a failed span, possibly empty; None for a span that did not fail."""


_SCHEMA = """
CREATE TABLE IF NOT EXISTS spans (trace_id TEXT, span_id TEXT, job TEXT, seen REAL, body TEXT,
                                  PRIMARY KEY (trace_id, span_id));
CREATE INDEX IF NOT EXISTS spans_by_job ON spans (job);
CREATE INDEX IF NOT EXISTS spans_by_time ON spans (seen);
"""


class TraceStore:
    """Spans in SQLite. Thread-safe. A span that is received again (a re-emission) replaces the first."""

    def __init__(self, path: Path, keep: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._keep = keep
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False)
        self._db.executescript("PRAGMA journal_mode=WAL;" + _SCHEMA)

    def add(self, spans: Iterable[StoredSpan]) -> None:
        """Store the spans; delete whole traces beyond the limit, the least recently updated first."""
        now = time.time()
        rows = [(s.trace_id, s.span_id, s.attributes.get("render.job"), now, json.dumps(asdict(s))) for s in spans]
        with self._lock, self._db:
            self._db.executemany("INSERT OR REPLACE INTO spans VALUES (?, ?, ?, ?, ?)", rows)
            self._db.execute(
                "DELETE FROM spans WHERE trace_id IN (SELECT trace_id FROM spans GROUP BY trace_id"
                " ORDER BY MAX(seen) DESC LIMIT -1 OFFSET ?)",
                (self._keep,),
            )

    def trace(self, trace_id: str) -> list[StoredSpan]:
        """The spans of a trace, by start time."""
        with self._lock:
            rows = self._db.execute("SELECT body FROM spans WHERE trace_id = ?", (trace_id,)).fetchall()
        return sorted((StoredSpan(**json.loads(row[0])) for row in rows), key=lambda s: s.start_ns)

    def job_traces(self, job: str) -> list[str]:
        """Ids of the traces with a span of the job, oldest first."""
        query = "SELECT trace_id FROM spans WHERE job = ? GROUP BY trace_id ORDER BY MIN(seen)"
        with self._lock:
            return [row[0] for row in self._db.execute(query, (job,)).fetchall()]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
