"""The front of the pipeline: a record on ``render.requests`` becomes a task, or is refused for a stated reason."""

import hashlib
import time
from collections.abc import Callable

from shared.messages.codes import Code, Rejected
from shared.messages.events import TerminalEvent
from shared.messages.identity import identify, identify_best_effort
from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask
from shared.messages.validation import check_request, parse_request
from shared.runtime.event_publisher import JobContext
from shared.runtime.map_concurrently import map_concurrently
from shared.runtime.record import Record
from shared.runtime.retry_policy import RetryPolicy
from shared.runtime.settings import RuntimeSettings
from shared.runtime.store import Store
from shared.runtime.waiting import Abandoned, concerns
from shared.storage import keys, markers
from shared.storage.errors import InputError, InputTooLarge, StoreUnavailable
from shared.storage.inputs import InputHead

MIB = 1 << 20
LONGEST_NAME = "poster.jpg"
"""Of the files that a job ends with."""


class Refused(Exception):
    """The record ends the job it names."""

    def __init__(self, job: JobContext, why: Rejected) -> None:
        super().__init__(why.message)
        self.job = job
        self.why = why


class Ended(Exception):
    """The record's job has ended: this is a redelivery."""

    def __init__(self, ending: TerminalEvent) -> None:
        super().__init__(ending.job_id)
        self.ending = ending


class Conflicting(Exception):
    """The record names a job that another request has; that job goes on."""

    def __init__(self, job: JobContext) -> None:
        super().__init__(job.job_id)
        self.job = job


class CancelledAtFront(Exception):
    """The job was cancelled before its inputs were looked at."""

    def __init__(self, job: JobContext) -> None:
        super().__init__(job.job_id)
        self.job = job


class NotAdmitted(Exception):
    """Nothing can be begun for the job, and the request is not at fault: its own documents in the store can't be read
    or written, or we broke down. ``error`` says why."""

    def __init__(self, job: JobContext, error: Exception) -> None:
        super().__init__(str(error))
        self.job = job
        self.error = error


def admit(
    record: Record,
    traceparent: str | None,
    store: Store,
    settings: RuntimeSettings,
    retry: RetryPolicy,
    cancelled: Callable[[str, str], bool],
) -> RenderTask:
    """The task of a valid request.

    The job id is claimed in the store before anything is said: whatever happens to a request, valid or not, happens
    under an id that is its own. ``cancelled`` tells by tenant and job id, and is asked each time before the inputs are
    looked at: a cancel must help while they are waited for. Raises Refused, Conflicting, Ended, CancelledAtFront,
    NotAdmitted, Abandoned, StoreUnavailable, OSError.
    """
    where = (record.topic, record.partition, record.offset)
    request: RenderRequest | None = None
    why: Rejected | None = None
    try:
        request = parse_request(record.value)
        identity = identify(request, record.key, *where, record.value)
        job = JobContext(identity.job_id, request.tenant, identity.request_id, request.batch, dict(request.labels))
    except Rejected as e:
        why = e
        saved = identify_best_effort(record.value, record.key, *where)
        job = JobContext(saved.identity.job_id, saved.tenant, saved.identity.request_id, saved.batch, saved.labels)
    concerns(job)
    mine = markers.RequestRecord(
        request_id=job.request_id,
        body_sha256=hashlib.sha256(record.value or b"").hexdigest(),
        inputs=(request.portrait, request.speech) if request else (),
    )
    try:
        claim = retry(lambda: markers.claim_request(store.documents, job.tenant, job.job_id, mine))
        if claim.winner.body_sha256 != mine.body_sha256:
            raise Conflicting(job)
        if not claim.won:
            ending = retry(lambda: markers.read_end(store.documents, job.tenant, job.job_id))
            if ending is not None:
                raise Ended(ending)
        if request is None or why is not None:
            raise Refused(job, why or Rejected(Code.INVALID_REQUEST, "The record can't be read."))
        check_request(request, settings.engines)
        check_output(request, job.job_id, store)
        check_inputs(request, store, settings, retry, lambda: _stop_if_cancelled(job, cancelled))
    except Rejected as e:
        raise Refused(job, e) from e
    except (Refused, Conflicting, Ended, CancelledAtFront, Abandoned, StoreUnavailable, OSError):
        raise
    except Exception as e:
        raise NotAdmitted(job, e) from e
    return RenderTask(
        job_id=job.job_id,
        request_id=claim.winner.request_id,
        request=request,
        submitted_ms=record.appended_ms(time.time_ns() // 1_000_000),
        submit_traceparent=traceparent,
    )


def check_output(request: RenderRequest, job_id: str, store: Store) -> None:
    """See that the finished files can have a key where the user wants them. Raises Rejected."""
    output = request.output
    if output is None:
        return
    if output.bucket not in store.settings.output_buckets:
        known = ", ".join(sorted(store.settings.output_buckets)) or "none is configured"
        raise Rejected(
            Code.INPUT_FORBIDDEN, "The output bucket has no such alias.", field="output.bucket", allowed=known
        )
    try:
        keys.output(request.tenant, output.prefix, job_id, LONGEST_NAME)
    except InputError as e:
        raise Rejected(e.code, f"The output prefix can't be used: {e}.", field="output.prefix") from e


def _stop_if_cancelled(job: JobContext, cancelled: Callable[[str, str], bool]) -> None:
    if cancelled(job.tenant, job.job_id):
        raise CancelledAtFront(job)


def check_inputs(
    request: RenderRequest, store: Store, settings: RuntimeSettings, retry: RetryPolicy, before: Callable[[], None]
) -> None:
    """Look at both objects, without reading them: a job must not wait for its last stage to learn of a typing error.

    ``before`` is called before each look, and stops it by what it raises. Raises Rejected, StoreUnavailable.
    """
    wanted = (
        ("portrait", request.portrait, settings.max_portrait_mb * MIB),
        ("speech", request.speech, settings.max_speech_mb * MIB),
    )

    def check(item: tuple[str, InputRef, int]) -> None:
        field, ref, limit = item

        def look() -> InputHead:
            before()
            return store.inputs.head(ref, request.tenant)

        try:
            head = retry(look)
            if head.size > limit:
                raise InputTooLarge(f"{ref.key} has {head.size} bytes")
        except InputError as e:
            raise rejection(e, field, limit) from e

    map_concurrently(check, wanted)


def rejection(error: InputError, field: str, limit: int) -> Rejected:
    """What an input that can't be read means for the user."""
    allowed = f"at most {limit} bytes" if isinstance(error, InputTooLarge) else None
    return Rejected(error.code, f"The {field} can't be used: {error}.", field=field, allowed=allowed)
