"""The state of every job, in memory: a small row for questions on many jobs, and the record for its full answer."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

from sortedcontainers import SortedList

from shared.client import job_fold
from shared.client.job_fold import JobRecord
from shared.client.job_key import JobKey
from shared.client.job_state import JobState
from shared.messages.events import Done, Failed, RejectedEvent, Retrying, TerminalEvent

Cursor = tuple[int, str, str]
"""The place of a job among all, newest first: time of its first event, job id, tenant."""


@dataclass(frozen=True, slots=True)
class Row:
    """What questions on many jobs need of one."""

    key: JobKey
    status: str
    engine: str
    stage: str
    """The stage that runs or waits; empty between stages."""
    batch_id: str
    batch_total: int
    first_ms: int
    last_ms: int
    due_ms: int
    """When a retry is due; 0 without one."""
    outcome: str
    """done, rejected, cancelled, expired or failed; empty while the job has not ended."""
    ended_ms: int
    total_s: float | None
    """Of a done job: from the request to the end, seconds."""
    seconds: tuple[tuple[str, float], ...]
    """Seconds of each finished stage."""
    from_request: bool
    """Nothing but its request is known."""
    value: bytes
    """The record, as on ``render.jobs``."""

    @property
    def cursor(self) -> Cursor:
        """Its place among all jobs."""
        return self.first_ms, self.key.job_id, self.key.tenant

    @property
    def record(self) -> JobRecord:
        """The whole record."""
        record = job_fold.load(self.value)
        assert record is not None, "a row is made of a record of this version"
        return record


@dataclass(frozen=True, slots=True)
class Selection:
    """Which jobs are asked for; what is empty selects all."""

    tenant: str | None = None
    batch: str | None = None
    statuses: Collection[str] = ()
    since_ms: int = 0
    until_ms: int | None = None
    """Exclusive."""
    with_requests: bool = True
    """Also jobs of which nothing but the request is known."""

    def has(self, row: Row) -> bool:
        """Whether the job is one of them."""
        return (
            (self.tenant is None or row.key.tenant == self.tenant)
            and (self.batch is None or row.batch_id == self.batch)
            and (not self.statuses or row.status in self.statuses)
            and row.first_ms >= self.since_ms
            and (self.until_ms is None or row.first_ms < self.until_ms)
            and (self.with_requests or not row.from_request)
        )


class JobTable:
    """All jobs, by key and by age. For one thread."""

    def __init__(self) -> None:
        self._rows: dict[JobKey, Row] = {}
        self._by_age: SortedList[Cursor] = SortedList()
        self._evicted_ms = 0
        """After the first event of every job that was forgotten because there were too many."""

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def get(self, key: JobKey) -> Row | None:
        """The job's row; None when it is not known."""
        return self._rows.get(key)

    def put(self, record: JobRecord, value: bytes) -> None:
        """Add the job, or replace what is known of it. ``value`` is the record, serialised."""
        self.put_row(row_of(record, value))

    def put_row(self, row: Row) -> None:
        """As ``put``, of a row."""
        self.remove(row.key)
        self._rows[row.key] = row
        self._by_age.add(row.cursor)

    def remove(self, key: JobKey) -> None:
        """Forget a job, if it is known."""
        row = self._rows.pop(key, None)
        if row is not None:
            self._by_age.remove(row.cursor)

    def clear(self) -> None:
        """Forget every job."""
        self._rows.clear()
        self._by_age.clear()

    def newest(self, selection: Selection, limit: int, after: Cursor | None = None) -> list[Row]:
        """At most ``limit`` of the selected jobs, newest first; ``after`` is the cursor of the last one that is known
        already."""
        # No job id sorts before the empty one.
        until = None if selection.until_ms is None else (selection.until_ms, "", "")
        last = min((one for one in (after, until) if one is not None), default=None)
        found: list[Row] = []
        for cursor in self._by_age.irange(maximum=last, inclusive=(True, False), reverse=True):
            if len(found) == limit or cursor[0] < selection.since_ms:
                break
            row = self._rows[JobKey(cursor[2], cursor[1])]
            if selection.has(row):
                found.append(row)
        return found

    def complete_since_ms(self, before_ms: int, count: int) -> int:
        """Since when no job is missing, if `evict` forgets by the same arguments.

        What an earlier process has evicted shows in a full table only.
        """
        since_ms = max(before_ms, self._evicted_ms)
        if len(self) < count:
            return since_ms
        return max(since_ms, next((row.first_ms for row in self._oldest_ended() if row.first_ms), 0))

    def evict(self, before_ms: int, count: int) -> list[JobKey]:
        """Forget the jobs without an event since ``before_ms``, and the oldest ended ones beyond ``count``; returns
        them.

        A job that is known from refused requests alone has no time: it counts as the oldest.
        """
        gone = [row.key for row in self if row.last_ms < before_ms and row.first_ms]
        for key in gone:
            self.remove(key)
        surplus = list(islice(self._oldest_ended(), max(0, len(self) - count)))
        for row in surplus:
            self.remove(row.key)
            self._evicted_ms = max(self._evicted_ms, row.first_ms + 1)
        return gone + [row.key for row in surplus]

    def _oldest_ended(self) -> Iterator[Row]:
        ages = (self._rows[JobKey(cursor[2], cursor[1])] for cursor in self._by_age)
        return (row for row in ages if row.outcome or not row.first_ms)


def row_of(record: JobRecord, value: bytes) -> Row:
    """The row of a record."""
    state, terminal = record.state, record.state.terminal_event
    return Row(
        key=record.key,
        status=state.status,
        engine=state.engine,
        stage=state.current_stage,
        batch_id=state.batch.id if state.batch else "",
        batch_total=state.batch.total if state.batch else 0,
        first_ms=state.first_ms,
        last_ms=state.last_ms,
        due_ms=state.waiting.due_ms if isinstance(state.waiting, Retrying) else 0,
        outcome=outcome_of(terminal),
        ended_ms=terminal.time_ms if terminal else 0,
        total_s=float(terminal.total_s) if isinstance(terminal, Done) else None,
        seconds=_seconds(state),
        from_request=record.from_request,
        value=value,
    )


def outcome_of(terminal: TerminalEvent | None) -> str:
    """done, rejected, cancelled, expired or failed; empty without a terminal event."""
    match terminal:
        case Done():
            return "done"
        case RejectedEvent():
            return "rejected"
        case Failed():
            return {"CANCELLED": "cancelled", "EXPIRED": "expired"}.get(str(terminal.code), "failed")
        case _:
            return ""


def _seconds(state: JobState) -> tuple[tuple[str, float], ...]:
    return tuple((name, float(stage.seconds)) for name, stage in state.stages.items() if stage.seconds is not None)
