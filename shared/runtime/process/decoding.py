"""From a record to a task. The service chooses its decoder at construction, so that no other code depends on the stage:
`admission.RequestDecoder` at the front, `TaskDecoder` at every other stage."""

from dataclasses import dataclass, replace
from typing import Protocol

import structlog
from pydantic import ValidationError

from shared.messages.delivery_headers import read_delivery
from shared.messages.events import TerminalEvent
from shared.messages.identity import identify_task_best_effort
from shared.messages.task import MAX_ENVELOPE_BYTES, JobWarning, RenderTask
from shared.messages.validation.errors import explain
from shared.runtime import trace_context
from shared.runtime.consume.assignment import Record
from shared.runtime.disposition import Disposition, Duplicate, JobContext
from shared.runtime.failures import InvalidRecord
from shared.runtime.trace_context import RecordTrace
from shared.runtime.waiting import set_current_job
from shared.storage import markers
from shared.storage.errors import ArtifactAltered, ArtifactRefused
from shared.storage.protocols import Documents

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Decoded:
    """A task to process, and warnings to add to the stage's output."""

    task: RenderTask
    warnings: tuple[JobWarning, ...] = ()
    replays: int = 0
    """How often the job was replayed from a dead letter, by the record's headers."""


class Decoder(Protocol):
    """Reads the records of one topic."""

    def trace(self, record: Record) -> RecordTrace:
        """The trace that the record's processing belongs to. Never raises."""

    def decode(self, record: Record) -> Decoded | Disposition:
        """The task, or the disposition of a record that needs no work.

        Calls `set_current_job` as soon as the job is known. Raises exceptions that `failures.classify` maps.
        """


def _parse(value: bytes | None) -> RenderTask:
    """The task in a record's value. Raises InvalidRecord, whose message names the field and quotes no text."""
    if not value:
        raise InvalidRecord("the record has no value, where a task is expected")
    if len(value) > MAX_ENVELOPE_BYTES:
        raise InvalidRecord(f"the record has {len(value)} bytes; a task has at most {MAX_ENVELOPE_BYTES}")
    try:
        return RenderTask.parse(value)
    except ValidationError as e:
        raise InvalidRecord(f"the record is not a valid task: {explain(e, RenderTask).message}") from e


def end_before(documents: Documents, job: JobContext) -> TerminalEvent | None:
    """The terminal event for which a record of the job needs no work; None when the job may go on.

    A replay continues a job that has failed: see `markers.continue_job`. It continues no job that is done, rejected or
    cancelled; the event then has the number of the replay, because a reader ignores the ends of earlier ones. Raises
    ArtifactAltered, ArtifactRefused, StoreUnavailable.
    """
    end = markers.continue_job(documents, job.tenant, job.job_id, job.replays)
    if end is None or markers.is_replayable(end) or end.replays >= job.replays:
        return end
    return end.model_copy(update={"replays": job.replays})


class TaskDecoder:
    """Decodes tasks, which earlier stages wrote."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def trace(self, record: Record) -> RecordTrace:
        """The trace of the stage that sent the task."""
        return trace_context.of_task(record)

    def decode(self, record: Record) -> Decoded | Disposition:
        """The task as sent; Duplicate when its job was purged, whose outputs must not be made again, and for a replay
        of a job that has ended otherwise than by a failure.

        Raises InvalidRecord; before that, sets the job where headers, body or key name it. Raises StoreUnavailable.
        """
        replays = read_delivery(record.headers).replays
        try:
            task = _parse(record.value)
        except InvalidRecord:
            named = self._job_of(record)
            if named is not None:
                set_current_job(replace(named, replays=replays))
            raise
        task = trace_context.of_replay(record, task)
        job = replace(JobContext.of(task), replays=replays)
        set_current_job(job)
        terminal = self._end_of_purged(job)
        if terminal is None and replays:
            terminal = self._end_before(job)
        return Decoded(task, replays=replays) if terminal is None else Duplicate(terminal, job=job, task=task)

    def _end_before(self, job: JobContext) -> TerminalEvent | None:
        """As ``end_before``; None when the stored end can't be read: the work is done, and the end is claimed later."""
        try:
            return end_before(self._documents, job)
        except (ArtifactAltered, ArtifactRefused) as e:
            log.warning("end_unreadable", job=job.job_id, error=str(e))
            return None

    def _end_of_purged(self, job: JobContext) -> TerminalEvent | None:
        """The terminal event of a purged job; None for any other job, and where its documents can't be read."""
        try:
            request = markers.read_request(self._documents, job.tenant, job.job_id)
            if request is None or request.purged_ms is None:
                return None
            return markers.read_end(self._documents, job.tenant, job.job_id)
        except (ArtifactAltered, ArtifactRefused) as e:
            log.warning("request_unreadable", job=job.job_id, error=str(e))
            return None

    def _job_of(self, record: Record) -> JobContext | None:
        """The job of an unreadable record, which this record ends; None when the record names no job."""
        best_effort = identify_task_best_effort(record.value, record.key, record.headers)
        if best_effort is None:
            return None
        job_id, is_known = best_effort.identity.job_id, True
        stored = None
        try:
            stored = markers.read_request(self._documents, best_effort.tenant, job_id)
            is_known = stored is not None
        except (ArtifactAltered, ArtifactRefused) as e:
            # There is such a job: what it ended with, if it has, must stay its only end.
            log.warning("request_unreadable", job=job_id, error=str(e))
        request_id = best_effort.identity.request_id or (stored.request_id if stored else job_id)
        return JobContext(
            job_id,
            best_effort.tenant,
            request_id,
            best_effort.batch,
            best_effort.labels,
            is_stored=is_known,
        )
