"""The front of the pipeline: turns a record on ``render.requests`` into a task, or rejects it with a reason."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import structlog

from shared.messages.codes import Code
from shared.messages.codes import Rejected as Refusal
from shared.messages.delivery_headers import read_delivery, source_of
from shared.messages.events import TerminalEvent
from shared.messages.identity import identify, identify_best_effort, named_tenant
from shared.messages.lanes import BULK, INTERACTIVE, lane_of, lane_topic
from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.messages.tenant_topics import UNVERIFIED
from shared.messages.topics import EVENTS
from shared.messages.validation import advice, check_consent, check_request, parse_request
from shared.runtime import trace_context
from shared.runtime.consume.assignment import Record
from shared.runtime.disposition import Conflict, Disposition, Duplicate, JobContext, PassedOn
from shared.runtime.execute.map_concurrently import map_concurrently
from shared.runtime.execute.task_inputs import input_limit, refusal
from shared.runtime.failures import JobCancelled, TopicMissing
from shared.runtime.policy_settings import PolicySettings
from shared.runtime.process.decoding import Decoded, end_before
from shared.runtime.process.quotas import QuotaGuard
from shared.runtime.process.request_task import known_of, task_of
from shared.runtime.process.tenant_quota import TenantQuota
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settle.event_publisher import EventPublisher
from shared.runtime.tenant_check import TenantCheck, check_named, note_refusal
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
        partitions: Callable[[str], int],
        *,
        lanes: bool = True,
        tenants: TenantCheck | None = None,
        quotas: QuotaGuard | None = None,
    ) -> None:
        """``cancelled`` returns, by tenant and job id, whether the job is cancelled; it is called before each input is
        checked and during every wait. ``partitions`` returns the number of a topic's partitions; it may raise
        TopicMissing. Without ``lanes`` no request is passed on to the bulk lane. ``tenants`` decides for whom a sender
        may speak: without it that of the settings, without keys. ``quotas`` admits each valid request."""
        self._settings = settings
        self._store = store
        self._events = events
        self._cancelled = cancelled
        self._partitions = partitions
        self._lanes = lanes
        self._quotas = quotas
        self._quota = TenantQuota(settings.tenant_quota)
        self._tenants = tenants or TenantCheck(settings)
        self._policy = PolicySettings()

    def trace(self, record: Record) -> RecordTrace:
        """The sender's trace where it is trusted, else a trace of the job's own."""
        return trace_context.of_request(record, trusted=self._settings.trust_trace_context)

    def decode(self, record: Record) -> Decoded | Disposition:
        """The task of a valid request; Conflict or Duplicate when the job id is taken or the job has ended; PassedOn
        for a bulk request on the interactive topic. A replay of the very request that has the job id continues a job
        that has failed.

        Claims the job id in the object store before anything is published, for valid and invalid requests: every event
        is then published under an id that belongs to this request. A sender that may not speak for the tenant is
        refused before anything is read or written for that tenant. Raises shared.messages.codes.Rejected, JobCancelled,
        Abandoned, StorageError.
        """
        request, refused, job = self._identify(record)
        job = self._of_its_tenant(record, request, job)
        set_current_job(job)
        if request is not None and self._is_passed_on(record, request, job):
            return PassedOn(job=job)
        own = markers.RequestRecord(
            request_id=job.request_id,
            body_sha256=hashlib.sha256(record.value or b"").hexdigest(),
            inputs=(request.portrait, request.speech) if request else (),
            owner=(request.owner or "") if request else "",
            output=request.output if request else None,
        )
        again = self._quotas is not None and self._is_claimed(record, job)
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
        check_consent(request, required=self._policy.requires_consent(request.tenant))
        self._check_output(request, job)
        self._check_inputs(request, job)
        trusted = self._settings.trust_trace_context
        task = task_of(record, request, replace(job, request_id=claim.winner.request_id), trusted=trusted)
        job = replace(JobContext.of(task), replays=job.replays)
        set_current_job(job)
        self._raise_if_cancelled(job)
        if self._quotas is not None:
            self._quotas.admit(job.tenant, job.job_id, job.replays, again=again)
        self._events.accepted(job, request.engine)
        return Decoded(task, advice(request), job.replays)

    def _of_its_tenant(self, record: Record, request: RenderRequest | None, job: JobContext) -> JobContext:
        """The job, as one of the tenant for which its sender may speak.

        Raises Rejected when the record names another one. The job of its event is then the record itself, and its
        tenant the sender's, where it is known: such an event can't end a job, nor show up among those of the tenant
        that was named.
        """
        named = request.tenant if request is not None else named_tenant(record.value)
        speaker: str | None = None
        try:
            speaker = self._speaker(record)
            check_named(speaker, named)
        except Refusal as refusal:
            note_refusal("request", record, refusal, named, job.job_id)
            set_current_job(JobContext(job.request_id, speaker or UNVERIFIED, job.request_id, is_stored=False))
            claimed = f" The record names the job {job.job_id}" + (f" of the tenant {named}." if named else ".")
            raise Refusal(
                refusal.code, refusal.message + claimed, field=refusal.field, allowed=refusal.allowed
            ) from refusal
        return job if speaker is None or named is not None else replace(job, tenant=speaker)

    def _speaker(self, record: Record) -> str | None:
        """The tenant for which the sender may speak; None: for any. Raises Rejected."""
        speaker = self._tenants.speaker("request", record)
        if speaker is not None and self._settings.tenancy == "topic":
            try:
                self._partitions(self._settings.topic_of(EVENTS, speaker))
            except TopicMissing:  # Where topics are created by themselves: its first event would end the service.
                raise Refusal(
                    Code.TENANT_FORBIDDEN,
                    "The tenant has no topic for its events: an operator creates the topics of a tenant.",
                    field="topic",
                ) from None
        return speaker

    def _is_claimed(self, record: Record, job: JobContext) -> bool:
        """Whether the request repeats another record, as a retry does, and this very body has claimed its job id: the
        header is the sender's. Asks the object store only where the header is there."""
        if read_delivery(record.headers).origin is None:
            return False
        claimed = markers.read_request(self._store.documents, job.tenant, job.job_id)
        return claimed is not None and claimed.body_sha256 == hashlib.sha256(record.value or b"").hexdigest()

    def _is_within_quota(self, record: Record, job: JobContext) -> bool:
        """Whether the interactive lane takes the request: also one that it has admitted before."""
        if not self._settings.tenant_quota or self._is_claimed(record, job):
            return True
        return self._quota.takes(job.tenant, job.request_id)

    def _is_passed_on(self, record: Record, request: RenderRequest, job: JobContext) -> bool:
        """Whether the request waits for its work in the bulk lane: it asks for that, or its tenant is over its
        quota."""
        if not self._lanes or lane_of(record.topic) != INTERACTIVE:
            return False
        wanted = request.lane == BULK or not self._is_within_quota(record, job)
        if wanted:
            try:
                self._partitions(lane_topic(record.topic, BULK))
            except TopicMissing as e:  # `topics apply` has not run yet: the job is done here, in this lane.
                log.warning("bulk_topic_missing", reason=str(e))
                return False
        return wanted

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
