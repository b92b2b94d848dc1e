"""The audit of renders: who had what rendered, with which outcome and at which cost; from the job records, not traces.

Traces may be sampled and expire. The rows are made from `JobState`, whatever it was folded from: the events that are
read here, or a projection of them.
"""

import time
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, date, datetime
from typing import Any

from confluent_kafka import Message

from shared.client import event_log
from shared.client.connection import Connection
from shared.client.job_state import JobState
from shared.client.topic_log import records, value_of
from shared.messages.events import Done, Failed, RejectedEvent
from shared.messages.pipeline import STAGES
from shared.messages.scan_limits import MAX_EVENTS_OF_AUDIT
from shared.messages.topics import DAY_MS

CLOCK_SKEW_MS = 3_600_000
"""By how much the clocks of services may be behind the broker's, which gives the time of the submission."""
LAST_S = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
_PROGRESS = b"lipstage.event.progress."
"""Begin of the header `ce_type` of progress. Most events are that, and the audit needs nothing of it: left unparsed."""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One job; what is not known is None."""

    date: str
    """Day of the submission, YYYY-MM-DD, UTC."""
    job_id: str
    tenant: str
    department: str | None
    owner_hash: str | None
    consent: str | None
    """The request's reference to a consent; None after a purge."""
    engine: str | None
    outcome: str
    """done, rejected, expired, cancelled or failed; of a job that has not ended its status: queued, accepted, running,
    waiting; purged, where the events of the end are gone."""
    code: str | None
    """Public code of a job that was not done."""
    duration_asked_s: float | None
    duration_s: float | None
    """Length of the video."""
    audio_s: float | None
    face_s: float | None
    infer_s: float | None
    encode_s: float | None
    """Seconds of each stage."""
    gpu_s: float | None
    drift_ms: int | None
    quality: float | None
    attempts: int
    """Attempts of all stages that have started, together."""
    replays: int
    trace_id: str | None
    submitted_ms: int

    def as_json(self) -> dict[str, object]:
        """For scripts: the names of the columns."""
        return asdict(self)


COLUMNS = tuple(one.name for one in fields(AuditRow))


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which jobs an audit is about. Days are UTC, and both belong to it; None: from the first, until the last."""

    first_day: date | None = None
    last_day: date | None = None
    department: str | None = None
    tenant: str | None = None
    owner_hashes: Collection[str] | None = None
    """Every hash that the owner may have: one for each key that was in use."""

    @property
    def since_ms(self) -> int:
        """When the first day begins, milliseconds since the epoch; 0 without one."""
        if self.first_day is None:
            return 0
        return int(datetime.combine(self.first_day, datetime.min.time(), UTC).timestamp() * 1000)

    def takes(self, row: AuditRow) -> bool:
        """Whether the row belongs to the audit."""
        return (
            (self.first_day is None or row.date >= self.first_day.isoformat())
            and (self.last_day is None or row.date <= self.last_day.isoformat())
            and self.department in (None, row.department)
            and self.tenant in (None, row.tenant)
            and (self.owner_hashes is None or row.owner_hash in self.owner_hashes)
        )


@dataclass(slots=True)
class Totals:
    """Sums over the rows of an audit."""

    jobs: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    video_s: float = 0.0
    stage_s: float = 0.0
    gpu_s: float = 0.0

    @classmethod
    def of(cls, rows: Iterable[AuditRow]) -> "Totals":
        """Add the rows up."""
        totals = cls()
        for row in rows:
            totals.jobs += 1
            totals.outcomes[row.outcome] = totals.outcomes.get(row.outcome, 0) + 1
            totals.video_s += row.duration_s or 0.0
            totals.stage_s += sum(one or 0.0 for one in (row.audio_s, row.face_s, row.infer_s, row.encode_s))
            totals.gpu_s += row.gpu_s or 0.0
        return totals


@dataclass(frozen=True, slots=True)
class Audit:
    """The rows, the oldest submission first."""

    rows: list[AuditRow]
    is_complete: bool
    """False: older events were not read, or those of other tenants, or older jobs are not kept. Jobs of the time range
    may be missing."""
    is_projected: bool = False
    """The rows are from the job-state projection, not from a scan of the events."""


def audit(connection: Connection, wanted: AuditFilter, max_events: int = MAX_EVENTS_OF_AUDIT) -> Audit:
    """The audit from the newest ``max_events`` events. Raises BrokerUnreachable, TopicMissing."""
    jobs: dict[tuple[str, str], JobState] = {}
    windows, is_complete = event_log.windows(connection, max_events, wanted.tenant)
    kept_ms = connection.settings.retention_events_days * DAY_MS
    for source, window in windows:
        begins_ms: dict[int, int] = {}
        for message in records(connection, event_log.topic(connection, source), window.offsets):
            begins_ms.setdefault(message.partition() or 0, message.timestamp()[1])
            event = None if _is_progress(message) else event_log.parse(value_of(message))
            if event is not None:
                jobs.setdefault((event.tenant, event.job_id), JobState(event.job_id, event.tenant)).apply(event)
        was_read = all(begins_ms.get(cut, wanted.since_ms) < wanted.since_ms for cut in window.cut_partitions)
        is_kept = not window.has_deleted or wanted.since_ms >= time.time() * 1000 - kept_ms
        is_complete = is_complete and was_read and is_kept
    return Audit(rows_of(jobs.values(), wanted), is_complete)


def _is_progress(message: Message) -> bool:
    headers: Any = message.headers() or ()
    kinds = [value for name, value in headers if name == "ce_type"]
    return bool(kinds) and isinstance(kinds[-1], bytes) and kinds[-1].startswith(_PROGRESS)


def rows_of(states: Iterable[JobState], wanted: AuditFilter) -> list[AuditRow]:
    """The rows of these jobs that belong to the audit, the oldest submission first."""
    rows = [row_of(state) for state in states if state.first_ms]
    chosen = [row for row in rows if wanted.takes(row)]
    return sorted(chosen, key=lambda row: (row.submitted_ms, row.tenant, row.job_id))


def row_of(state: JobState) -> AuditRow:
    """The row of one job."""
    end = state.terminal_event
    done = end if isinstance(end, Done) else None
    submitted_ms = state.submitted_ms if state.submitted_ms is not None else state.first_ms
    seconds = {name: stage.seconds for name, stage in state.stages.items()}
    return AuditRow(
        date=_day(submitted_ms),
        job_id=state.job_id,
        tenant=state.tenant,
        department=state.department,
        owner_hash=state.owner_hash,
        consent=state.consent,
        engine=state.engine or None,
        outcome=_outcome(state),
        code=str(end.code) if isinstance(end, RejectedEvent | Failed) else None,
        duration_asked_s=done.duration_asked_s if done else None,
        duration_s=done.duration_s if done else None,
        audio_s=seconds.get("audio"),
        face_s=seconds.get("face"),
        infer_s=seconds.get("infer"),
        encode_s=seconds.get("encode"),
        gpu_s=done.gpu_seconds if done else None,
        drift_ms=done.audio_drift_ms if done else None,
        quality=done.quality if done else None,
        attempts=_attempts(state),
        replays=state.replays,
        trace_id=state.trace_id,
        submitted_ms=submitted_ms,
    )


def _outcome(state: JobState) -> str:
    end = state.terminal_event
    if isinstance(end, Failed) and end.code in ("CANCELLED", "EXPIRED"):
        return str(end.code).lower()
    return end.type if end is not None else state.status


def _attempts(state: JobState) -> int:
    return sum(state.stages[name].attempt for name in STAGES if state.stages[name].state != "waiting")


def _day(ms: int) -> str:
    """The day of a time, UTC; of one beyond the calendar its last day: whoever writes events must not end an audit."""
    return datetime.fromtimestamp(min(max(ms, 0) / 1000, LAST_S), UTC).date().isoformat()
