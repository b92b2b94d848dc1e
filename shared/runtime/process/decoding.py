"""From a record to a task. A stage's decoder is chosen when its service is made, so that nothing else asks which stage
it is: `admission.RequestDecoder` at the front, `TaskDecoder` at every other stage."""

from dataclasses import dataclass
from typing import Protocol

import structlog

from shared.messages.identity import identify_task_best_effort
from shared.messages.task import MAX_ENVELOPE_BYTES, JobWarning, RenderTask
from shared.runtime import trace_context
from shared.runtime.consume.assignment import Record
from shared.runtime.disposition import Disposition, JobContext
from shared.runtime.failures import InvalidRecord
from shared.runtime.trace_context import RecordTrace
from shared.runtime.waiting import set_current_job
from shared.storage import markers
from shared.storage.errors import ArtifactAltered, ArtifactRefused
from shared.storage.protocols import Documents

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Decoded:
    """A task to work on, and warnings that belong to the stage's output."""

    task: RenderTask
    warnings: tuple[JobWarning, ...] = ()


class Decoder(Protocol):
    """Reads the records of one topic."""

    def trace(self, record: Record) -> RecordTrace:
        """Which trace the record's processing belongs to. Never raises."""

    def decode(self, record: Record) -> Decoded | Disposition:
        """The task, or what becomes of a record that is not to be worked on.

        Makes the job known (`set_current_job`) as soon as it is. Raises what `failures.classify` knows.
        """


class TaskDecoder:
    """Tasks between stages: earlier stages of ours wrote them."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def trace(self, record: Record) -> RecordTrace:
        """The trace of the stage that sent the task."""
        return trace_context.of_task(record)

    def decode(self, record: Record) -> Decoded | Disposition:
        """The task as sent. Raises InvalidRecord; the job is known all the same where headers or key name it."""
        try:
            if record.value is None or len(record.value) > MAX_ENVELOPE_BYTES:
                raise ValueError("the record has no value, or one that is too large")
            task = RenderTask.parse(record.value)
        except ValueError as e:
            job = self._job_of(record)
            if job is not None:
                set_current_job(job)
            raise InvalidRecord(str(e)) from e
        set_current_job(JobContext.of(task))
        return Decoded(task)

    def _job_of(self, record: Record) -> JobContext | None:
        """The job that an unreadable record belongs to, so that it ends; None when nothing names one."""
        found = identify_task_best_effort(record.value, record.key, record.headers)
        if found is None:
            return None
        job_id, request_id = found.identity.job_id, found.identity.request_id
        if not request_id:
            try:
                stored = markers.read_request(self._documents, found.tenant, job_id)
            except (ArtifactAltered, ArtifactRefused) as e:
                log.warning("request_unreadable", job=job_id, error=str(e))
                stored = None
            request_id = stored.request_id if stored else job_id
        return JobContext(job_id, found.tenant, request_id, found.batch, found.labels)
