"""The answers of the projection, as functions of its table; every one is bounded. Knows no HTTP."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from shared.client.job_key import JobKey
from shared.client.job_state import ENDED, STATUSES
from stages.gateway.projection import statistics
from stages.gateway.projection.job_table import Cursor, JobTable, Selection
from stages.gateway.projection.settings import ProjectionSettings
from stages.gateway.projection.stuck import stuck

MAX_PAGE = 1000
PAGE = 100
HOUR_S = 3600
DAY_MS = 24 * HOUR_S * 1000
MAX_INTEGER = 1 << 62
Query = Mapping[str, str]


class BadQuery(ValueError):
    """A parameter that can't be used; the text names it and what is allowed."""


class NotKnown(LookupError):
    """No such job or batch."""


class NotReady(RuntimeError):
    """The table is not that of all events yet; the text says why."""


class Answers:
    """Answers questions from the table. Every method raises NotReady until the table is complete."""

    def __init__(
        self,
        table: JobTable,
        options: ProjectionSettings,
        position: Callable[[], dict[str, Any]],
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """``position`` returns at least ``not_ready``: the reason, or None."""
        self._table = table
        self._options = options
        self._position = position
        self._now_ms = now_ms

    def position(self) -> bytes:
        """How far the table is; never raises NotReady."""
        return _json(self._position())

    def jobs(self, query: Query) -> bytes:
        """A page of jobs, newest first. Raises BadQuery.

        ``tenant``, ``batch``, ``status`` (several with commas), ``since_ms`` (included) and ``until_ms`` (excluded),
        ``from_request=no`` (not those that are only requested yet), ``limit``, ``after`` (the ``next`` of the page
        before).
        """
        self._check_ready()
        statuses = tuple(filter(None, query.get("status", "").split(",")))
        if unknown := [status for status in statuses if status not in STATUSES]:
            raise BadQuery(f"status: {unknown[0]!r} is none of {', '.join(STATUSES)}")
        selection = Selection(
            query.get("tenant"),
            query.get("batch"),
            statuses,
            _integer(query, "since_ms", 0, 0, MAX_INTEGER),
            _integer(query, "until_ms", MAX_INTEGER, 0, MAX_INTEGER),
            query.get("from_request") != "no",
        )
        limit = _integer(query, "limit", PAGE, 1, MAX_PAGE)
        rows = self._table.newest(selection, limit + 1, _cursor(query.get("after")))
        page = rows[:limit]
        more = json.dumps(list(page[-1].cursor)) if len(rows) > limit else None
        return b'{"jobs": [' + b", ".join(row.value for row in page) + b'], "next": ' + _json(more) + b"}"

    def job(self, tenant: str, job_id: str) -> bytes:
        """One job. Raises NotKnown."""
        self._check_ready()
        row = self._table.get(JobKey(tenant, job_id))
        if row is None:
            raise NotKnown(f"no job {job_id} of the tenant {tenant} is known")
        return b'{"job": ' + row.value + b"}"

    def batch(self, tenant: str, batch_id: str) -> bytes:
        """How many jobs of a batch are in each status. Raises NotKnown."""
        self._check_ready()
        rows = [row for row in self._table if (row.batch_id, row.key.tenant) == (batch_id, tenant)]
        if not rows:
            raise NotKnown(f"no job of the batch {batch_id} of the tenant {tenant} is known")
        counted = Counter(row.status for row in rows)
        total = max(row.batch_total for row in rows)
        ended = sum(number for status, number in counted.items() if status in ENDED)
        answer = {
            "batch": batch_id,
            "tenant": tenant,
            "total": total,
            "known": len(rows),
            "ended": ended,
            "complete": ended == len(rows) >= total,
            "counts": {status: counted[status] for status in STATUSES if counted[status]},
        }
        return _json(answer)

    def statistics(self, query: Query) -> bytes:
        """Windows with success rate and durations: ``from_ms``, ``to_ms`` (the last day), ``window_s`` (an hour),
        ``by`` (engine, tenant, both with a comma, or nothing). Raises BadQuery."""
        self._check_ready()
        now = self._now_ms()
        to_ms = _integer(query, "to_ms", now, 0, MAX_INTEGER)
        from_ms = _integer(query, "from_ms", max(0, to_ms - DAY_MS), 0, MAX_INTEGER)
        window_s = _integer(query, "window_s", HOUR_S, 1, 10 * 366 * 24 * HOUR_S)
        by = tuple(filter(None, query.get("by", "engine,tenant").split(",")))
        if len(set(by)) < len(by) or not set(by) <= set(statistics.FIELDS):
            raise BadQuery(f"by: some of {', '.join(statistics.FIELDS)}, each once, with a comma between them")
        try:
            found = statistics.windows(self._table, from_ms, to_ms, window_s, by)
        except statistics.TooMuch as e:
            raise BadQuery(str(e)) from None
        return _json({"from_ms": from_ms, "to_ms": to_ms, "window_s": window_s, "windows": found})

    def stuck(self, query: Query) -> bytes:
        """Jobs that are silent for longer than their stage may take: ``limit``. Raises BadQuery."""
        self._check_ready()
        limit = _integer(query, "limit", PAGE, 1, MAX_PAGE)
        found = stuck(self._table, self._now_ms(), self._options.queue_limit_s, limit + 1)
        return _json({"jobs": found[:limit], "more": len(found) > limit})

    def _check_ready(self) -> None:
        reason = self._position()["not_ready"]
        if reason is not None:
            raise NotReady(reason)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _integer(query: Query, name: str, default: int, least: int, most: int) -> int:
    """Raises BadQuery."""
    text = query.get(name)
    if text is None:
        return default
    if not re.fullmatch("[0-9]{1,19}", text) or not least <= int(text) <= most:
        raise BadQuery(f"{name}: a whole number from {least} to {most}")
    return int(text)


def _cursor(text: str | None) -> Cursor | None:
    """Raises BadQuery."""
    if text is None:
        return None
    try:
        first_ms, job_id, tenant = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        raise BadQuery("after: the `next` of another answer") from None
    if not (isinstance(first_ms, int) and isinstance(job_id, str) and isinstance(tenant, str)):
        raise BadQuery("after: the `next` of another answer")
    return first_ms, job_id, tenant
