"""The state of a job as a function of its events, and as the value of a record on ``render.jobs``.

`shared.client.history` folds the events that it has read; the job-state projection folds each event as it arrives, and
keeps the result. Both give the same state.
"""

import json
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from shared.client.job_key import JobKey
from shared.client.job_state import JobState
from shared.messages.events import AnyEvent

VERSION = 1
"""Of the fold. Raise it when old records no longer hold what the fold needs: readers then take them for absent, and the
projection is rebuilt from the events."""


@dataclass(frozen=True, slots=True)
class JobRecord:
    """What ``render.jobs`` keeps of a job."""

    state: JobState
    from_request: bool = False
    """No event of the job is known: the state is that of its request, and the first event replaces it."""
    version: int = VERSION

    @property
    def key(self) -> JobKey:
        """Tenant and job id."""
        return JobKey(self.state.tenant, self.state.job_id)


_RECORD = TypeAdapter(JobRecord)


def apply(state: JobState | None, event: AnyEvent) -> JobState:
    """The state after the event; ``state`` is left as it is. None is the state before the first event.

    Applying events again, from any one on, in their order, gives the same state: what was read and not committed may be
    read again.
    """
    after = JobState(event.job_id, event.tenant) if state is None else state.copy()
    after.apply(event)
    return after


def dump(record: JobRecord) -> bytes:
    """The value of the record on ``render.jobs``: JSON."""
    return _RECORD.dump_json(record)


def load(value: bytes | None) -> JobRecord | None:
    """A record from its value; None for a value that is none, or that another version of the fold wrote."""
    try:
        record = _RECORD.validate_json(value or b"")
    except (ValidationError, RecursionError):
        return None
    return record if record.version == VERSION else None


def read(value: object) -> JobRecord | None:
    """As ``load``, of a value that was read from JSON."""
    return load(json.dumps(value).encode())
