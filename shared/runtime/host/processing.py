"""Constructs and connects what processes the records of a stage."""

from collections.abc import Callable
from functools import partial

from shared.messages.pipeline import FIRST, following
from shared.messages.task import RenderTask
from shared.messages.topics import CHUNKS, EVENTS
from shared.runtime.attempt_policy import AttemptPolicy
from shared.runtime.breaker import CircuitBreaker
from shared.runtime.execute.chunk_notices import ChunkNotices
from shared.runtime.execute.provenance import Provenance
from shared.runtime.execute.scratch import DiskSpace
from shared.runtime.process.admission import RequestDecoder
from shared.runtime.process.deadlines import Deadlines
from shared.runtime.process.decoding import Decoder, TaskDecoder
from shared.runtime.process.forwarding import Forwarder
from shared.runtime.process.processor import TaskProcessor
from shared.runtime.process.quota_file import QuotaFile
from shared.runtime.process.quotas import QuotaGuard
from shared.runtime.process.record_work import RecordWork
from shared.runtime.process.routing import Router
from shared.runtime.process.task_attempts import TaskAttempts
from shared.runtime.producers import Producers
from shared.runtime.retry_policy import RetryPolicy
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settle import render_metrics
from shared.runtime.settle.cleanup import Cleanup
from shared.runtime.settle.event_publisher import EventPublisher
from shared.runtime.settle.render_summary import RenderSummary
from shared.runtime.settle.settlement import Settlement
from shared.runtime.tenant_check import TenantCheck
from shared.slot.artifacts import ArrayArtifact
from shared.slot.spec import StageSpec
from shared.storage.object_store import ObjectStore
from shared.storage.protocols import Storage
from shared.storage.settings import StorageSettings
from shared.telemetry.tracing import Tracing


def task_processor(
    spec: StageSpec,
    group: str,
    settings: RuntimeSettings,
    store: Storage,
    producers: Producers,
    tracing: Tracing,
    cancelled: Callable[[str, str], bool],
    disk: DiskSpace,
    stopping: Callable[[], bool],
    breaker: CircuitBreaker | None = None,
    router: Router | None = None,
    *,
    lanes: bool = True,
    tenants: TenantCheck | None = None,
    provenance: Provenance | None = None,
) -> TaskProcessor:
    """The processor of a stage's records, with its decoder, forwarder, event publisher and settlement.

    ``lanes``: whether bulk tasks go on in topics of their own. ``tenants``: as of `RequestDecoder`. ``provenance``: of
    a stage whose spec ``marks``.
    """
    render_metrics.prepare(spec.name, settings)
    breaker = breaker or CircuitBreaker(spec.name)
    topic_of = partial(settings.topic_of, EVENTS)
    events = EventPublisher(spec.name, settings.topic_prefix, producers, store.documents, topic_of)
    decoder: Decoder = TaskDecoder(store.documents)
    quotas = QuotaGuard(spec.name, QuotaFile(settings.quotas_file), store.documents, producers.clock.now_ms)
    tenants = (tenants or TenantCheck(settings)) if spec.name == FIRST else None
    if spec.name == FIRST:
        decoder = RequestDecoder(
            settings,
            store,
            events,
            cancelled,
            producers.partitions,
            lanes=lanes,
            tenants=tenants,
            quotas=quotas,
        )
    cleanup = Cleanup(spec, store)
    settlement = Settlement(
        spec.name,
        group,
        settings.topic_prefix,
        producers,
        events,
        cleanup,
        RenderSummary(tracing.tracer),
        store.artifacts,
        quotas.release,
        tenants,
    )
    forwarder = Forwarder(spec.name, settings, store, producers, router, lanes=lanes)
    deadlines = Deadlines(producers.clock)
    notices = _notices(spec, settings, producers, forwarder) if settings.overlap else None
    attempts = TaskAttempts(
        spec, settings, store, events, tracing.tracer, cancelled, deadlines, disk, notices, provenance
    )
    policy = AttemptPolicy(settings.tiers, settings.max_attempts, breaker)
    work = RecordWork(
        spec.name,
        settings,
        decoder,
        store,
        events,
        attempts,
        forwarder,
        policy,
        cancelled,
        deadlines,
        quotas.charge,
    )
    return TaskProcessor(
        spec.name,
        group,
        settings.max_crashes,
        decoder,
        events,
        work,
        settlement,
        breaker,
        tracing.tracer,
        deadlines,
        stopping,
    )


def _notices(
    spec: StageSpec, settings: RuntimeSettings, producers: Producers, forwarder: Forwarder
) -> Callable[[RenderTask, str], ChunkNotices] | None:
    """Makes the notices for an attempt, by its task and id; None for a stage that stores no chunks for another."""
    chunked = any(isinstance(a, ArrayArtifact) and a.chunked for a in spec.outputs.values())
    if not chunked or following(spec.name) is None:
        return None
    topic = settings.topic(CHUNKS)
    return lambda task, attempt: ChunkNotices(spec.name, task, attempt, topic, producers, forwarder.route)


def open_store(settings: RuntimeSettings, stage: str) -> ObjectStore:
    """The object store for tasks of a stage; its operations retry according to the settings."""
    return ObjectStore.open(StorageSettings(), lambda works: RetryPolicy(settings.store_retry_timeout_s, works, stage))
