"""The client: one object for everything that talks to a deployment."""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pydantic import JsonValue

from shared.client import event_log, history
from shared.client.batch_calls import BatchCalls
from shared.client.connection import Connection
from shared.client.dead_letters.calls import DeadLetterCalls
from shared.client.deployment import Deployment
from shared.client.job_like import JobLike, key_of
from shared.client.look_up_calls import LookUpCalls
from shared.client.projection import ProjectionCalls
from shared.client.purge_calls import PurgeCalls
from shared.client.submitted import Submission
from shared.client.topic_log import Offsets
from shared.messages.engines import DEFAULT_ENGINE
from shared.messages.events import TERMINAL_TYPES, AnyEvent, Done, Failed, RejectedEvent, TerminalEvent
from shared.messages.names import DEFAULT_TENANT
from shared.messages.refs import ArtifactRef
from shared.messages.scan_limits import MAX_EVENTS_OF_JOB
from shared.runtime.settings import RuntimeSettings

if TYPE_CHECKING:
    from shared.client.consumers import StageGroup
    from shared.client.earlier_requests import EarlierRequests
    from shared.client.job_spec import JobSpec
    from shared.client.local_files import FileLimits
    from shared.client.manifest import Manifest
    from shared.client.own_request import OwnRequest
    from shared.client.purge import Purged
    from shared.client.uploads import Uploads


class Client(LookUpCalls, BatchCalls, PurgeCalls, DeadLetterCalls):
    """Submits jobs to a deployment, follows them, fetches their results, cancels and purges them.

    Nothing is contacted before the first call that needs it. Close the client, or use it in a ``with`` block: it then
    exports its last spans. Not thread-safe: use one client for each thread.

    Methods raise subclasses of ``ClientError`` for everything that a caller can handle (the tree is drawn in
    `shared.client.errors`); each that uses Kafka or S3 raises InvalidDeployment for settings that can't be used.
    """

    def __init__(
        self,
        deployment: Deployment | None = None,
        *,
        service_name: str = "client",
        on_fallback: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Use ``deployment``, or the one that the environment names. ``service_name`` names the client in traces.
        ``on_fallback`` gets one line when the projection does not answer, and the events are scanned instead.

        Raises pydantic's ``ValidationError`` or ``SettingsError`` for a variable that can't be read.
        """
        self._connection = Connection(deployment or Deployment(), service_name)
        self._projection_calls = ProjectionCalls(self._connection.settings.projection_url, on_fallback)
        self._closed = False

    @cached_property
    def _earlier_requests(self) -> "EarlierRequests":
        from shared.client.earlier_requests import EarlierRequests

        return EarlierRequests(self._connection)

    @cached_property
    def _uploads(self) -> "Uploads":
        from shared.client.uploads import Uploads

        return Uploads(self._connection)

    @property
    def connection(self) -> Connection:
        """The Kafka and S3 clients, for what this class does not offer. Raises RuntimeError when closed."""
        if self._closed:
            raise RuntimeError("the client is closed")
        return self._connection

    @property
    def settings(self) -> RuntimeSettings:
        """Broker, topic prefix, and the size limits of the services."""
        return self.connection.settings

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Export what is left of spans, for 3 s at most; safe to repeat. Any later use raises RuntimeError."""
        if not self._closed:
            self._closed = True
            self._connection.close()

    def check(self, *, store: bool = True) -> None:
        """Send one request to the broker and, with ``store``, one to the object store; returns when they answer.

        Raises BrokerUnreachable, StoreUnreachable, BucketUnusable.
        """
        self.connection.check(store=store)

    def stages_without_consumers(self, engine: str = DEFAULT_ENGINE) -> tuple[str, ...]:
        """The stages of a render with ``engine`` that no service consumes: jobs wait there until one is started.

        Best effort, within 20 s: empty also when the broker does not answer or refuses to describe the groups.
        """
        from shared.client import consumers

        return consumers.stages_without_consumers(self.settings, engine)

    def stage_groups(self) -> "list[StageGroup]":
        """The consumer groups of the stages and of the enabled engines (LIPSTAGE_ENGINES), in the order of the
        pipeline: records that wait, and running services. Raises BrokerUnreachable."""
        from shared.client import consumers

        return consumers.stage_groups(self.settings, self.settings.engines)

    # Submit.

    def job_spec(self, portrait: str | Path, speech: str | Path, **fields: JsonValue) -> "JobSpec":
        """Check two local files and the fields of the request; nothing is sent.

        ``fields`` are those of the request (docs/messages.md), for example ``engine="puppet"``,
        ``params={"seed": 7}``, ``job_id``, ``tenant``, ``labels``. Raises InvalidRequest.
        """
        from shared.client.job_spec import JobSpec

        return JobSpec.checked(Path(portrait), Path(speech), fields, self._limits)

    def manifest(self, path: str | Path, *, batch_id: str | None = None, **defaults: JsonValue) -> "Manifest":
        """A manifest as ``batch`` takes it, all of it checked; iterating it makes one spec at a time, so that a batch
        of any size takes little memory. Arguments and errors are those of ``batch``."""
        from shared.client.manifest import Manifest

        return Manifest(Path(path), defaults, self._limits, batch_id)

    def batch(self, path: str | Path, *, batch_id: str | None = None, **defaults: JsonValue) -> "list[JobSpec]":
        """The job specs of a CSV or JSONL manifest; nothing is sent. ``defaults`` are request fields of every row.

        ``batch_id`` names the batch; None: a fresh id. With an id of the caller the job ids are the same at every
        call, so that the batch can be submitted again after an interruption. Raises InvalidManifest with every fault,
        InvalidRequest.
        """
        return list(self.manifest(path, batch_id=batch_id, **defaults))

    @property
    def _limits(self) -> "FileLimits":
        from shared.client.local_files import FileLimits

        return FileLimits(self.settings.max_portrait_mb, self.settings.max_speech_mb)

    def submit(self, spec: "JobSpec") -> Submission:
        """Upload both files and send the request; returns once the broker has it.

        The same files and fields under a job id that is in use are not sent again: see
        ``Submission.is_repeat``. Raises JobConflict when another request has the job id, JobPurged, StoreUnreachable,
        BrokerUnreachable, RecordRefused, InputBucketMissing, InvalidRequest for a file that can't be read any more.
        """
        from shared.client import submission
        from shared.client.submission_metrics import measured_submission

        with measured_submission() as measured:
            return measured(submission.submit(self.connection, spec, self._earlier_requests, self._uploads))

    def begin_batch(self) -> None:
        """Before the jobs of a batch that somebody else may have submitted since this client did: what is on the topic
        is read once for a batch, and now again."""
        self.__dict__.pop("_earlier_requests", None)

    def submit_batch(self, specs: "Iterable[JobSpec]") -> Iterator[Submission]:
        """Submit one spec after the other; each submission is yielded before the next begins. Raises as ``submit``."""
        for spec in specs:
            yield self.submit(spec)

    def render(
        self, spec: "JobSpec", *, on_event: Callable[[AnyEvent], None] | None = None, timeout_s: float | None = None
    ) -> TerminalEvent:
        """Submit a job, wait for its end, and return its terminal event: done, rejected or failed.

        ``on_event`` gets every event of the job. Raises as ``submit`` and ``wait``.
        """
        start = self.position(spec.key.tenant)
        return self.wait(self.submit(spec), start=start, on_event=on_event, timeout_s=timeout_s)

    # Follow.

    def position(self, tenant: str = DEFAULT_TENANT) -> Offsets:
        """The present end of the tenant's events: a job submitted after this call has all its events after it. All
        tenants have one position, except with LIPSTAGE_TENANCY=topic.

        Raises BrokerUnreachable, TopicMissing.
        """
        return event_log.end(self.connection, tenant)

    def events(
        self, job: JobLike, *, start: Offsets | None = None, timeout_s: float | None = None
    ) -> Iterator[AnyEvent]:
        """Yield a job's events as they arrive, until its terminal event.

        ``start`` is a ``position`` from before the submission; without one, past events are read first. Raises
        WaitTimeout after ``timeout_s`` seconds, JobConflict when the job's id is another request's (known for a
        Submission only), BrokerUnreachable, TopicMissing.
        """
        own, past = self._own_request(job), list[AnyEvent]()
        if start is None:
            request_id = job.request_id if isinstance(job, Submission) else None
            past, start = history.past_events(self.connection, key_of(job), MAX_EVENTS_OF_JOB, request_id)
        for event in past:
            if own is None or own.concerns(event):
                yield event
                if event.type in TERMINAL_TYPES:
                    return
        from shared.client.follow import follow

        replays = history.newest_replay(past)
        yield from follow(self.connection, key_of(job), start, own=own, replays=replays, timeout_s=timeout_s)

    def wait(
        self,
        job: JobLike,
        *,
        start: Offsets | None = None,
        timeout_s: float | None = None,
        on_event: Callable[[AnyEvent], None] | None = None,
    ) -> TerminalEvent:
        """Follow a job to its terminal event and return it. Arguments and errors are those of ``events``."""
        for event in self.events(job, start=start, timeout_s=timeout_s):
            if on_event is not None:
                on_event(event)
            if isinstance(event, Done | RejectedEvent | Failed):
                return event
        raise AssertionError("events() ends with a terminal event")

    def follow(
        self,
        job: JobLike,
        start: Offsets,
        *,
        replays: int = 0,
        timeout_s: float | None = None,
        on_silence: Callable[[], None] | None = None,
        on_duplicate: Callable[[str], None] | None = None,
    ) -> Iterator[AnyEvent]:
        """As ``events``, from ``start`` on. ``replays``: how often the job was replayed before; a failure before that
        does not end it.

        ``on_silence`` is called once when no event arrives for 15 s: perhaps no service runs. ``on_duplicate`` is
        called with the id of an earlier identical request, whose events are then those of the Submission. A broker or
        an object store that goes away is waited for.
        """
        from shared.client.follow import follow

        own = self._own_request(job, on_duplicate)
        return follow(
            self.connection, key_of(job), start, own=own, replays=replays, timeout_s=timeout_s, on_silence=on_silence
        )

    def check_conflict(self, submitted: Submission) -> None:
        """Return when no other request is known to have the job id, or an identical one has it.

        Raises JobConflict, JobDocumentUnreadable.
        """
        from shared.client.own_request import OwnRequest

        OwnRequest(self.connection, submitted).is_duplicate()

    def _own_request(self, job: JobLike, on_duplicate: Callable[[str], None] | None = None) -> "OwnRequest | None":
        from shared.client.own_request import OwnRequest

        return OwnRequest(self.connection, job, on_duplicate) if isinstance(job, Submission) else None

    # Act.

    def download(self, ref: ArtifactRef, target: str | Path) -> None:
        """Fetch a result, as ``done.video`` or ``done.poster``; the file appears when it is whole and verified.

        Raises ArtifactUnavailable, StoreUnreachable, TargetUnwritable.
        """
        from shared.client import download

        download.download(self.connection, ref, Path(target))

    def cancel(self, job: JobLike, *, force: bool = False, max_events: int = MAX_EVENTS_OF_JOB) -> Failed | None:
        """End a job as cancelled, at once, and notify every service: a stage that works on it stops within seconds.

        Returns the terminal event; None when only the cancel command was sent, because the object store does not
        answer, or has no request of the job: then a service ends the job. The job is looked up first; ``force`` sends
        the command whatever is known of it. Raises JobNotFound, also for a job of another tenant, JobEnded, also when
        the job ends otherwise meanwhile, JobPurged, BrokerUnreachable, RecordRefused.
        """
        from shared.client import cancellation

        return cancellation.cancel(self.connection, key_of(job), max_events=max_events, force=force)

    def purge(self, job: JobLike, *, force: bool = False) -> "Purged":
        """Delete what is stored of a job, and the inputs that were uploaded for it; returns what that was.

        ``force`` also purges a job that has not ended: it is cancelled. Raises JobNotFound when nothing is stored of
        the job, JobPurged when it has been purged, JobNotFinished, PurgeIncomplete, StoreUnreachable,
        BrokerUnreachable, JobDocumentUnreadable.
        """
        from shared.client import purge

        return purge.purge(self.connection, key_of(job), force=force)
