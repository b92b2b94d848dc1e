"""The state of a job, computed from its events in whatever order and number they arrive."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

from shared.client.purged_end import without_user_data
from shared.messages.events import (
    Accepted,
    AnyEvent,
    Conflict,
    Done,
    Failed,
    Finished,
    Progress,
    Purged,
    RejectedEvent,
    Retrying,
    Started,
    TerminalEvent,
    Waiting,
    WarningGiven,
)
from shared.messages.pipeline import STAGES
from shared.messages.request import Batch

STATUSES = ("queued", "accepted", "running", "waiting", "done", "rejected", "failed", "cancelled", "purged")
"""In the order of a job's life."""
REFUSED = "refused"
"""Status of a row of a batch whose job id another request has: the batch has no such job."""
ENDED = (*STATUSES[4:], REFUSED)
"""The statuses of a job that has ended, and of a refused row."""
MAX_KEPT = 100
"""How many refused requests and how many warnings of one job are kept: whoever may write events must not fill the
memory of their readers."""


@dataclass(slots=True)
class StageState:
    """One stage's part of a job."""

    state: str = "waiting"
    """waiting, running or finished."""
    attempt: int = 1
    percent: float = 0.0
    done: int = 0
    total: int = 0
    seconds: float | None = None
    cached: bool = False
    waiting_for: str = ""
    """Public code of what the stage waits for: the object store, disk space. Empty when it does not wait."""


@dataclass(slots=True)
class JobState:
    """A job as its events describe it. An event that arrives twice changes nothing; progress never goes back."""

    job_id: str
    tenant: str = ""
    engine: str = ""
    status: str = "queued"
    """One of ``STATUSES``."""
    first_ms: int = 0
    last_ms: int = 0
    trace_id: str | None = None
    sampled: bool = True
    """Whether spans of the trace are exported."""
    batch: Batch | None = None
    """The job's place in its batch."""
    labels: dict[str, str] = field(default_factory=dict)
    stages: dict[str, StageState] = field(default_factory=lambda: {name: StageState() for name in STAGES})
    warnings: list[tuple[str, str]] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    """Request ids that were refused because the job id was in use."""
    waiting: Waiting | Retrying | None = None
    """Why the job waits, and for a retry when; None from its next event on."""
    replays: int = 0
    """How often the job was replayed from a dead letter."""
    terminal_event: TerminalEvent | None = None
    purged_ms: int | None = None
    """When the job was purged, milliseconds since the epoch."""
    submitted_ms: int | None = None
    """The broker's time of the request, milliseconds since the epoch; None in events of an earlier version."""
    department: str | None = None
    owner_hash: str | None = None
    """Keyed hash of the owner; None after a purge."""
    consent: str | None = None
    """The request's reference to a consent; None after a purge."""

    def apply(self, event: AnyEvent) -> None:
        """Update the state by one event."""
        if isinstance(event, Conflict):
            if event.request_id not in self.conflicts and len(self.conflicts) < MAX_KEPT:
                self.conflicts.append(event.request_id)
            return
        self.first_ms = min(self.first_ms or event.time_ms, event.time_ms)
        self.last_ms = max(self.last_ms, event.time_ms)
        self.tenant = event.tenant
        self.trace_id = event.trace_id or self.trace_id
        self.sampled = event.sampled
        self.labels = dict(event.labels) or self.labels
        if event.batch:
            self.batch = event.batch
        if isinstance(event, Accepted) and not isinstance(self.terminal_event, Done):
            self.engine = event.engine
        if isinstance(event, Accepted | TerminalEvent):
            self.submitted_ms = event.submitted_ms or self.submitted_ms
            self.department = event.department or self.department
            self.owner_hash = event.owner_hash or self.owner_hash
            self.consent = event.consent or self.consent
        if event.replays > self.replays:
            self._reopen(event.replays)
        if isinstance(event, Purged):
            self.purged(event.time_ms)
        elif self._is_news(event):
            self._advance(event)
        if self.purged_ms is not None:
            self.purged(self.purged_ms)

    def copy(self) -> Self:
        """A state of its own with the same content; events and batch are immutable and shared."""
        return replace(
            self,
            labels=dict(self.labels),
            stages={name: replace(stage) for name, stage in self.stages.items()},
            warnings=list(self.warnings),
            conflicts=list(self.conflicts),
        )

    def purged(self, time_ms: int) -> None:
        """The job was purged at this time, milliseconds since the epoch: its data are not shown any more."""
        if self.waiting is not None:
            self._stage(self.waiting.stage).waiting_for = ""
        self.status, self.purged_ms, self.waiting = "purged", time_ms, None
        self.labels, self.warnings, self.owner_hash, self.consent = {}, [], None, None
        if self.terminal_event is not None:
            self.terminal_event = without_user_data(self.terminal_event)

    def _reopen(self, replays: int) -> None:
        """A dead letter of the job was replayed: what had failed goes on. Other ends are final."""
        self.replays = replays
        if self.terminal_event is None or not is_superseded(self.terminal_event, replays):
            return
        self.terminal_event = None
        for stage in self.stages.values():
            if stage.state == "running":
                stage.state, stage.attempt, stage.percent, stage.done, stage.total = "waiting", 1, 0.0, 0, 0
        if self.purged_ms is None:
            has_started = any(stage.state != "waiting" for stage in self.stages.values())
            self.status = "running" if has_started else "accepted" if self.engine else "queued"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to the job."""
        return self.status in ENDED

    def _is_news(self, event: AnyEvent) -> bool:
        """Whether the event says more than is known; otherwise it was late, or is delivered again.

        A failure is not final: a replay follows it, or an end of another attempt that was still at work.
        """
        if isinstance(event, TerminalEvent) and not _is_failure(event):
            return self.terminal_event is None or _is_failure(self.terminal_event)
        return self.terminal_event is None and event.replays >= self.replays

    def _advance(self, event: AnyEvent) -> None:
        if self.waiting is not None:
            self._stage(self.waiting.stage).waiting_for = ""
            has_started = any(stage.state != "waiting" for stage in self.stages.values())
            self.waiting, self.status = None, "running" if has_started else "accepted" if self.engine else "queued"
        match event:
            case Accepted():
                self.status = "accepted" if self.status == "queued" else self.status
            case Started():
                self.status = "running"
                stage = self._stage(event.stage)
                if stage.state != "finished":
                    stage.state, stage.attempt = "running", event.attempt
            case Progress():
                self.status = "running"
                stage = self._stage(event.stage)
                if stage.state != "finished" and (event.attempt > stage.attempt or event.percent >= stage.percent):
                    stage.state, stage.attempt = "running", event.attempt
                    stage.percent, stage.done, stage.total = event.percent, event.done, event.total
            case Finished():
                self.status = "running"
                stage = self._stage(event.stage)
                stage.state, stage.percent = "finished", 100.0
                stage.seconds, stage.cached = event.seconds, event.cached
            case Waiting() | Retrying():
                self.waiting, self.status = event, "waiting"
                self._stage(event.stage).waiting_for = str(event.code)
            case WarningGiven():
                warning = (str(event.code), event.message)
                if warning not in self.warnings and len(self.warnings) < MAX_KEPT:
                    self.warnings.append(warning)
            case Done() | RejectedEvent() | Failed():
                self._finish(event)

    def _finish(self, event: TerminalEvent) -> None:
        self.terminal_event = event
        if self.purged_ms is None:
            cancelled = isinstance(event, Failed) and event.code == "CANCELLED"
            self.status = "cancelled" if cancelled else event.type
        if isinstance(event, Done):
            self.engine = event.engine
            for name, seconds in event.seconds.items():
                stage = self._stage(name)
                stage.state, stage.percent, stage.seconds = "finished", 100.0, seconds
            self.warnings = [(str(w.code), w.message) for w in event.warnings] or self.warnings

    def _stage(self, name: str) -> StageState:
        return self.stages.setdefault(name, StageState())

    @property
    def current_stage(self) -> str:
        """The stage that runs or waits; empty before the first and after the last."""
        if self.waiting is not None:
            return self.waiting.stage
        return next((name for name, stage in self.stages.items() if stage.state == "running"), "")

    def as_json(self) -> dict[str, Any]:
        """For scripts: stable names, times in milliseconds since the epoch."""
        terminal = self.terminal_event
        return {
            "job_id": self.job_id,
            "tenant": self.tenant,
            "status": self.status,
            "engine": self.engine or None,
            "stage": self.current_stage or None,
            "first_ms": self.first_ms,
            "last_ms": self.last_ms,
            "trace_id": self.trace_id,
            "sampled": self.sampled,
            "batch": self.batch.model_dump() if self.batch else None,
            "purged_ms": self.purged_ms,
            "submitted_ms": self.submitted_ms,
            "department": self.department,
            "owner_hash": self.owner_hash,
            "consent": self.consent,
            "labels": self.labels,
            "stages": {
                name: {"state": s.state, "percent": s.percent, "seconds": s.seconds, "cached": s.cached}
                for name, s in self.stages.items()
            },
            "waiting": self._waiting_json(),
            "replays": self.replays,
            "warnings": [{"code": code, "message": message} for code, message in self.warnings],
            "terminal_event": terminal.model_dump(mode="json", exclude_none=True) if terminal else None,
        }

    def _waiting_json(self) -> dict[str, Any] | None:
        waiting = self.waiting
        if waiting is None:
            return None
        reason = {"stage": waiting.stage, "code": str(waiting.code), "message": waiting.message}
        if isinstance(waiting, Retrying):
            return reason | {"tier": waiting.tier, "due_ms": waiting.due_ms, "next_attempt": waiting.next_attempt}
        return reason


def is_superseded(event: AnyEvent, replays: int) -> bool:
    """Whether the event is a failure before the replay number ``replays``: it does not end the job any more.

    A cancelled, rejected or done job is not replayed: its end stays.
    """
    return _is_failure(event) and event.replays < replays


def _is_failure(event: AnyEvent) -> bool:
    return isinstance(event, Failed) and event.code != "CANCELLED"
