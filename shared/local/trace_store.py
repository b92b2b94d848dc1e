"""Spans of the local stack in SQLite, by trace and by job, and those of whole renders by time; old ones are deleted."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path

from shared.telemetry.query.expression import Expression, matches
from shared.telemetry.query.fields import SPAN
from shared.telemetry.query.span_values import value_of
from shared.telemetry.spans import StoredSpan

# Files of earlier versions may hold NaN, which is no JSON.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS spans (trace_id TEXT, span_id TEXT, job TEXT, seen REAL, body TEXT,
                                  PRIMARY KEY (trace_id, span_id));
CREATE INDEX IF NOT EXISTS spans_by_job ON spans (job);
CREATE INDEX IF NOT EXISTS spans_by_time ON spans (seen);
CREATE INDEX IF NOT EXISTS renders_by_start ON spans (json_extract(body, '$.start_ns'))
    WHERE json_valid(body) AND json_extract(body, '$.name') = 'render';
"""
_RENDERS = (
    f"SELECT body FROM spans WHERE json_valid(body) AND json_extract(body, '$.name') = '{SPAN}'"
    " AND json_extract(body, '$.start_ns') >= ? AND json_extract(body, '$.start_ns') < ?"
    " ORDER BY json_extract(body, '$.start_ns') DESC, span_id"
)
_LINKED = (
    "SELECT DISTINCT trace_id FROM spans, json_each(iif(json_valid(body), body, '{}'), '$.links') AS link"
    " WHERE json_extract(link.value, '$.trace_id') = ? AND trace_id != ?"
)


class TraceStore:
    """Spans in SQLite. Thread-safe. A span that is received again (a re-emission) replaces the first."""

    def __init__(self, path: Path, keep: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
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

    def renders(self, expression: Expression | None, since_ns: int, until_ns: int, limit: int) -> list[StoredSpan]:
        """The newest summary spans that start in the time range and satisfy the expression, newest first.

        Read by a connection of its own, row by row: spans can be stored meanwhile, and memory holds ``limit`` of them.
        """
        found: list[StoredSpan] = []
        with closing(sqlite3.connect(self._path)) as db:
            for (body,) in db.execute(_RENDERS, (since_ns, until_ns)):
                if len(found) >= limit:
                    break
                span = StoredSpan(**json.loads(body))
                if expression is None or matches(expression, partial(value_of, span)):
                    found.append(span)
        return found

    def linked(self, trace_id: str) -> list[str]:
        """Ids of other traces with a span that is linked to this trace."""
        with closing(sqlite3.connect(self._path)) as db:
            return [row[0] for row in db.execute(_LINKED, (trace_id, trace_id))]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
