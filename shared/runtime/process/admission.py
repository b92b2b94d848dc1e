"""The front of the pipeline: turns a record on ``render.requests`` into a task, or rejects it with a reason."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import structlog

from shared.messages.codes import Code
from shared.messages.codes import Rejected as Refusal
from shared.messages.delivery_headers import read_delivery, source_of
from shared.messages.events import TerminalEvent
from shared.messages.identity import identify, identify_best_effort
from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.messages.validation import advice, check_request, parse_request
from shared.runtime import trace_context
from shared.runtime.consume.assignment import Record
from shared.runtime.disposition import Conflict, Disposition, Duplicate, JobContext
from shared.runtime.execute.map_concurrently import map_concurrently
from shared.runtime.execute.task_inputs import input_limit, refusal
from shared.runtime.failures import JobCancelled
from shared.runtime.process.decoding import Decoded, end_before
from shared.runtime.process.request_task import known_of, task_of
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settle.event_publisher import EventPublisher
from shared.runtime.trace_context import RecordTrace
from shared.runtime.waiting import cancellable, set_current_job
from shared.storage import keys, markers
from shared.storage.errors import ArtifactAltered, ArtifactRefused, InputError, InputTooLarge
from shared.storage.protocols import Storage

log = structlog.get_logger()

LONGEST_NAME = "poster.jpg"
"""The longest file name of a job's finished files."""


class RequestDecoder:
    """Decodes and checks requests of users, who may send anything."""

    def __init__(
        self,
        settings: RuntimeSettings,
        store: Storage,
        events: EventPublisher,
        cancelled: Callable[[str, str], bool],
    ) -> None:
        """``cancelled`` returns, by tenant and job id, whether the job is cancelled; it is called before each input is
        checked and during every wait."""
        self._settings = settings
        self._store = store
        self._events = events
        self._cancelled = cancelled

    def trace(self, record: Record) -> RecordTrace:
        """The sender's trace where it is trusted, else a trace of the job's own."""
        return trace_context.of_request(record, trusted=self._settings.trust_trace_context)

    def decode(self, record: Record) -> Decoded | Disposition:
        """The task of a valid request; Conflict or Duplicate when the job id is taken or the job has ended. A replay of
        the very request that has the job id continues a job that has failed.

        Claims the job id in the object store before anything is published, for valid and invalid requests: every event
        is then published under an id that belongs to this request. Raises shared.messages.codes.Rejected, JobCancelled,
        Abandoned, StorageError.
        """
        request, refused, job = self._identify(record)
        set_current_job(job)
        own = markers.RequestRecord(
            request_id=job.request_id,
            body_sha256=hashlib.sha256(record.value or b"").hexdigest(),
            inputs=(request.portrait, request.speech) if request else (),
            owner=(request.owner or "") if request else "",
        )
        claim = markers.claim_request(self._store.documents, job.tenant, job.job_id, own)
        if claim.winner.body_sha256 != own.body_sha256:
            return Conflict(job=job)
        # Also after a won claim: a redelivery, and the copy of a retry or a replay, claim with the same document.
        terminal = self._end_before(claim, job)
        if terminal is not None:
            return Duplicate(terminal, job=job)
        if request is None or refused is not None:
            raise refused or Refusal(Code.INVALID_REQUEST, "The record can't be read.")
        check_request(request, self._settings.engines)
        self._check_output(request, job)
        self._check_inputs(request, job)
        trusted = self._settings.trust_trace_context
        task = task_of(record, request, replace(job, request_id=claim.winner.request_id), trusted=trusted)
        job = replace(JobContext.of(task), replays=job.replays)
        set_current_job(job)
        self._raise_if_cancelled(job)
        self._events.accepted(job, request.engine)
        return Decoded(task, advice(request), job.replays)

    def _end_before(self, claim: markers.Claim[markers.RequestRecord], job: JobContext) -> TerminalEvent | None:
        """As `decoding.end_before`; the end of a purged job stands, whatever it was. A new request is checked although
        the object store refuses to read its end: it can still be rejected with a reason."""
        try:
            if claim.winner.purged_ms is not None:
                return markers.read_end(self._store.documents, job.tenant, job.job_id)
            return end_before(self._store.documents, job)
        except (ArtifactAltered, ArtifactRefused) as e:
            if not claim.won:
                raise
            log.warning("end_unreadable", error=str(e))
            return None

    def _identify(self, record: Record) -> tuple[RenderRequest | None, Refusal | None, JobContext]:
        """The request, if it can be read; the reason why it is refused, if it is; and the job that the record names or
        is assigned."""
        source = source_of(record.headers, record.topic, record.partition, record.offset)
        coordinates = (source.topic, source.partition, source.offset)
        replays = read_delivery(record.headers).replays
        trusted = self._settings.trust_trace_context
        request: RenderRequest | None = None
        try:
            request = parse_request(record.value)
            identity = identify(request, record.key, *coordinates, record.value)
            job = JobContext(identity.job_id, request.tenant, identity.request_id, request.batch, dict(request.labels))
            return request, None, replace(job, replays=replays, render=known_of(record, request, job, trusted=trusted))
        except Refusal as e:
            best_effort = identify_best_effort(record.value, record.key, *coordinates)
            identity = best_effort.identity
            job = JobContext(
                identity.job_id, best_effort.tenant, identity.request_id, best_effort.batch, best_effort.labels
            )
            return request, e, replace(job, replays=replays, render=known_of(record, request, job, trusted=trusted))

    def _check_output(self, request: RenderRequest, job: JobContext) -> None:
        """Check that the finished files can be written to the requested output bucket and prefix. Raises Rejected."""
        output = request.output
        if output is None:
            return
        if output.bucket not in self._store.settings.output_buckets:
            aliases = ", ".join(sorted(self._store.settings.output_buckets)) or "none is configured"
            raise Refusal(
                Code.INPUT_FORBIDDEN, "No output bucket has this alias.", field="output.bucket", allowed=aliases
            )
        try:
            keys.output(request.tenant, output.prefix, job.job_id, LONGEST_NAME)
        except InputError as e:
            raise Refusal(e.code, f"The output prefix can't be used: {e}.", field="output.prefix") from e

    def _check_inputs(self, request: RenderRequest, job: JobContext) -> None:
        """Check both input objects without reading them, so that a wrong key is reported at once and not by a later
        stage. A cancel ends the check. Raises Rejected, JobCancelled, StoreUnavailable."""

        def check(item: tuple[str, InputRef]) -> None:
            field, ref = item
            limit = input_limit(self._settings, field)
            self._raise_if_cancelled(job)
            try:
                head = self._store.inputs.head(ref, request.tenant)
                if head.size > limit:
                    raise InputTooLarge(f"{ref.key} has {head.size} bytes")
            except InputError as e:
                raise refusal(e, field, limit) from e

        with cancellable(lambda: self._cancelled(job.tenant, job.job_id)):
            map_concurrently(check, (("portrait", request.portrait), ("speech", request.speech)))

    def _raise_if_cancelled(self, job: JobContext) -> None:
        if self._cancelled(job.tenant, job.job_id):
            raise JobCancelled("the job was cancelled before its inputs were read")
