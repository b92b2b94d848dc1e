"""What each service may do in the object store and in Kafka. Everything else that speaks of rights is made of it.

In a key pattern ``*`` stands for any text, also with slashes, as in IAM policies. So ``jobs/*/*/audio/*`` covers keys
that no reader asks for (``jobs/T/J/face/A/audio/x``), but none of another stage: no stage has a file or an attempt of
that name.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from shared.access.names import CLIENT, OPERATOR, Names
from shared.messages.lanes import BULK
from shared.messages.pipeline import FIRST, GATEWAY, PIPELINE, PROJECTION, RELAY, STAGES, WEBHOOKS, following
from shared.messages.tenant_topics import request_topics, tenant_topic
from shared.messages.topics import (
    CANCEL,
    CHUNKS,
    CLOCK,
    DLQ,
    EVENTS,
    JOBS,
    PARKED,
    REPLAYS,
    REQUEST_TOPICS,
    REQUESTS,
    RETRY,
    work_topics,
)
from shared.messages.topics import WEBHOOKS as NOTICES

READS: dict[str, tuple[str, ...]] = {
    "audio": (), "face": (), "infer": ("audio", "face"), "encode": ("audio", "face", "infer"),
}  # fmt: skip
"""The stages whose artifacts a stage reads, as its specification names them."""
CACHED = ("audio", "face")
"""Stages whose output is cached by content."""
FRAMES_OF, FRAMES_FOR = "infer", "encode"
"""The stage that stores frames, and the one that reads them and deletes them when the job ends."""
READERS = ("oldest", "cancel", "chunks")
"""Consumers of a stage that join no group; the client asks for the coordinator of their names all the same."""
TOPICS = "render."
GROUPS = "lipstage."
ANY_TENANT = "*"


class ObjectAction(StrEnum):
    """What may be done with an object."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    TAG = "tag"
    DELETE_VERSIONS = "delete old versions"


class Operation(StrEnum):
    """An operation of Kafka's ACLs, by its name there. READ and WRITE imply DESCRIBE."""

    READ = "Read"
    WRITE = "Write"
    DESCRIBE = "Describe"
    DESCRIBE_CONFIGS = "DescribeConfigs"
    ALL = "All"


BucketRole = Literal["artifacts", "inputs", "outputs"]
READ, WRITE, DELETE, TAG, DELETE_VERSIONS = ObjectAction


@dataclass(frozen=True, slots=True)
class Objects:
    """Actions on the objects of one kind of bucket whose keys match a pattern."""

    bucket: BucketRole
    keys: str
    actions: tuple[ObjectAction, ...]


@dataclass(frozen=True, slots=True)
class Kafka:
    """Operations on a topic, a group or the cluster; ``prefixed``: on all whose name begins so."""

    resource: Literal["topic", "group", "cluster"]
    name: str
    operations: tuple[Operation, ...]
    prefixed: bool = False


@dataclass(frozen=True, slots=True)
class Rights:
    """The rights of one service."""

    service: str
    purpose: str
    objects: tuple[Objects, ...] = ()
    lists: tuple[BucketRole, ...] = ()
    """Buckets whose keys it may list. Without this right an object store answers 403 for a missing object, not 404."""
    lists_versions: tuple[BucketRole, ...] = ()
    """Buckets of which it may know whether they keep old versions, and list these."""
    kafka: tuple[Kafka, ...] = ()
    tenant: str = ANY_TENANT
    """The tenant to which a client is limited."""
    everything: bool = False
    """In the object store: all buckets of the deployment, their creation and their rules included."""

    @property
    def principal(self) -> str:
        """Its name in Kafka and in the object store."""
        return f"lipstage-{self.service}" + (f"-{self.tenant}" if self.tenant != ANY_TENANT else "")


def all_rights(names: Names, tenant: str = ANY_TENANT) -> dict[str, Rights]:
    """The rights of every service of a deployment, by its name.

    ``tenant`` limits what a client may do in the object store to that tenant's objects, and in Kafka, where each tenant
    has topics of its own, to these. Where tenants share topics, Kafka does not tell them apart.
    """
    found = [*(_stage(names, stage) for stage in STAGES), _relay(names), _projection(names), _gateway(names),
             _webhooks(names), _client(names, tenant), _operator(names)]  # fmt: skip
    return {one.service: one for one in found}


def _stage(names: Names, stage: str) -> Rights:
    objects = [
        Objects("artifacts", f"jobs/*/*/{stage}/*", (READ, WRITE, DELETE, *((TAG,) if stage == FRAMES_OF else ()))),
        Objects("artifacts", f"jobs/*/*/{stage}.json", (READ, WRITE)),
        *([Objects("artifacts", f"cache/*/{stage}/*", (READ, WRITE, DELETE))] if stage in CACHED else []),
        *_job_documents(claims=stage == FIRST),
        # An ended job gives its place among those in flight of its tenant back.
        Objects("artifacts", "quotas/*", (READ, WRITE)),
    ]
    for earlier in READS[stage]:
        objects.append(Objects("artifacts", f"jobs/*/*/{earlier}/*", (READ,)))
        if earlier in CACHED:
            objects.append(Objects("artifacts", f"cache/*/{earlier}/*", (READ,)))
            # The entry that names an unreadable artifact: every job with the same inputs would fail.
            objects.append(Objects("artifacts", f"cache/*/{earlier}/*.json", (DELETE,)))
    lists: list[BucketRole] = ["artifacts"]
    if stage in CACHED:
        objects.append(Objects("inputs", "*", (READ,)))
        lists.append("inputs")
    if stage == FRAMES_OF:
        objects.append(Objects("artifacts", f"frames/*/*/{stage}/*", (WRITE, DELETE)))
    if stage == FRAMES_FOR:
        objects.append(Objects("artifacts", f"jobs/*/*/{FRAMES_OF}/*", (DELETE,)))
        objects.append(Objects("artifacts", f"frames/*/*/{FRAMES_OF}/*", (DELETE,)))
        # It runs the janitor, which sweeps what attempts of erased jobs have stored since, of whatever stage.
        objects.append(Objects("artifacts", "erased/*", (READ, DELETE, DELETE_VERSIONS)))
        swept = ("jobs", "cache", "frames")
        objects += [Objects("artifacts", f"{prefix}/*", (DELETE, DELETE_VERSIONS)) for prefix in swept]
        # Finished files, and the segments of a preview.
        objects.append(Objects("outputs", "*", (READ, WRITE, DELETE, DELETE_VERSIONS)))
        lists.append("outputs")
    versions: tuple[BucketRole, ...] = ("artifacts", "outputs") if stage == FRAMES_FOR else ()
    kafka = tuple(_stage_kafka(names, stage))
    return Rights(stage, f"the {stage} stage", tuple(objects), tuple(lists), versions, kafka)


def _stage_kafka(names: Names, stage: str) -> Iterable[Kafka]:
    step, after = next(s for s in PIPELINE if s.name == stage), following(stage)
    for engine in names.engines if step.per_engine else (None,):
        for topic in step.topics(engine):
            yield _topic(names, topic, Operation.READ)
        yield _group(names, stage, engine, Operation.READ)
        for reader in READERS:
            name = f"{names.group(stage, engine)}.{reader}"
            yield Kafka("group", name, (Operation.DESCRIBE,))
    if stage == FIRST:
        # An interactive request that goes on in the bulk lane.
        yield _topic(names, step.topic(None, BULK), Operation.WRITE)
        yield _of_tenants(names, REQUESTS, Operation.READ, Operation.WRITE)
    if after is not None:
        for engine in names.engines if after.per_engine else (None,):
            for topic in after.topics(engine):
                yield _topic(names, topic, Operation.WRITE)
            # Which replica has the fewest unfinished tasks.
            yield _group(names, after.name, engine, Operation.DESCRIBE)
    yield Kafka("topic", names.topic(RETRY), (Operation.WRITE,), prefixed=True)
    yield from (_topic(names, topic, Operation.WRITE) for topic in (EVENTS, DLQ))
    yield _topic(names, CANCEL, Operation.READ)
    yield _of_tenants(names, EVENTS, Operation.WRITE)
    yield _of_tenants(names, CANCEL, Operation.READ)
    if stage in (FRAMES_OF, FRAMES_FOR):
        yield _topic(names, CHUNKS, Operation.WRITE if stage == FRAMES_OF else Operation.READ)
    yield _configuration()


def _relay(names: Names) -> Rights:
    work = (_topic(names, topic, Operation.WRITE) for topic in work_topics(names.engines))
    side = (_topic(names, topic, Operation.WRITE) for topic in (EVENTS, DLQ, CLOCK, NOTICES))
    kafka = (
        Kafka("topic", names.topic(RETRY), (Operation.READ,), prefixed=True),
        *work,
        *side,
        _of_tenants(names, EVENTS, Operation.WRITE),
        _of_tenants(names, REQUESTS, Operation.WRITE),
        _group(names, RELAY, None, Operation.READ),
        _configuration(),
    )
    return Rights(RELAY, "sends retried records back to their stages", _job_documents(), ("artifacts",), kafka=kafka)


def _projection(names: Names) -> Rights:
    kafka = (
        *(_topic(names, topic, Operation.READ) for topic in (EVENTS, *REQUEST_TOPICS)),
        *(_of_tenants(names, topic, Operation.READ) for topic in (EVENTS, REQUESTS)),
        Kafka("topic", names.topic(JOBS), (Operation.READ, Operation.WRITE)),
        _topic(names, DLQ, Operation.WRITE),
        _group(names, PROJECTION, None, Operation.READ),
    )
    return Rights(PROJECTION, "keeps the state of all jobs", kafka=kafka)


def _gateway(names: Names) -> Rights:
    """A client of every tenant that also purges jobs, and replays dead letters for operators. URLs that it presigns
    allow what it may do itself."""
    objects = (
        Objects("inputs", "*", (READ, WRITE, DELETE, DELETE_VERSIONS)),
        Objects("outputs", "*", (READ, DELETE, DELETE_VERSIONS)),
        *(Objects("artifacts", f"{prefix}/*", (READ, DELETE, DELETE_VERSIONS))
          for prefix in ("jobs", "cache", "frames", "dead-letters", "quotas")),
        Objects("artifacts", "webhooks/*", (READ, WRITE)),
        *(Objects("artifacts", f"jobs/*/*/{name}.json", (WRITE,)) for name in ("request", "end")),
        # What a purge notes: that an attempt may still write, and that it took place.
        *(Objects("artifacts", keys, (WRITE,)) for keys in ("cache/*/_jobs/*", "erased/*", "erasures/*")),
        *_probes(),
    )  # fmt: skip
    every: tuple[BucketRole, ...] = ("artifacts", "inputs", "outputs")
    kafka = (
        *_client_topics(names, ANY_TENANT),
        *(_topic(names, topic, Operation.WRITE) for topic in work_topics(names.engines) if topic not in REQUEST_TOPICS),
        _topic(names, DLQ, Operation.READ),
        Kafka("topic", names.topic(REPLAYS), (Operation.READ, Operation.WRITE)),
        *(_topic(names, topic, Operation.WRITE) for topic in (PARKED, NOTICES)),
        # How long topics keep the records of a purged job.
        Kafka("topic", names.topic(TOPICS), (Operation.DESCRIBE, Operation.DESCRIBE_CONFIGS), prefixed=True),
        # Members and lag of the stages.
        Kafka("group", names.topic_prefix + GROUPS, (Operation.DESCRIBE,), prefixed=True),
    )
    return Rights(GATEWAY, "acts for the tenants of its API keys", objects, every, every, kafka)


def _webhooks(names: Names) -> Rights:
    """It disables endpoints, and registers none."""
    kafka = (
        _topic(names, EVENTS, Operation.READ),
        _of_tenants(names, EVENTS, Operation.READ),
        Kafka("topic", names.topic(NOTICES), (Operation.READ, Operation.WRITE)),
        Kafka("topic", names.topic(RETRY), (Operation.WRITE,), prefixed=True),
        _topic(names, DLQ, Operation.WRITE),
        _group(names, WEBHOOKS, None, Operation.READ),
        _configuration(),
    )
    objects = (
        Objects("artifacts", "webhooks/*", (READ, WRITE)),
        # Whether the job was purged meanwhile.
        Objects("artifacts", "jobs/*/*/request.json", (READ,)),
        *_probes(),
    )
    return Rights(WEBHOOKS, "tells endpoints of tenants of ended renders", objects, ("artifacts",), kafka=kafka)


def _client(names: Names, tenant: str) -> Rights:
    objects = (
        Objects("inputs", f"{tenant}/*", (READ, WRITE, DELETE)),
        Objects("outputs", f"{tenant}/*", (READ,)),
        Objects("artifacts", f"jobs/{tenant}/*/{STAGES[-1]}/*", (READ,)),
        # To cancel a job that no service has taken yet.
        *(Objects("artifacts", f"jobs/{tenant}/*/{name}.json", (READ, WRITE)) for name in ("request", "end")),
    )
    kafka = (
        *_client_topics(names, tenant),
        *(Kafka("group", names.group(name), (Operation.DESCRIBE,)) for name in ("cli", "client")),
        # Whether a service reads the topics at all.
        *(_group(names, step.name, engine, Operation.DESCRIBE)
          for step in PIPELINE for engine in (names.engines if step.per_engine else (None,))),
    )  # fmt: skip
    lists: tuple[BucketRole, ...] = ("artifacts", "inputs") if tenant == ANY_TENANT else ()
    purpose = "submits, follows, cancels and downloads jobs"
    return Rights(CLIENT, purpose, objects, lists, kafka=kafka, tenant=tenant)


def _client_topics(names: Names, tenant: str) -> Iterable[Kafka]:
    if names.tenancy != "topic":
        yield from (Kafka("topic", names.topic(topic), (Operation.READ, Operation.WRITE)) for topic in REQUEST_TOPICS)
        yield Kafka("topic", names.topic(EVENTS), (Operation.READ, Operation.WRITE))
        yield _topic(names, CANCEL, Operation.WRITE)
    elif tenant == ANY_TENANT:
        yield _of_tenants(names, REQUESTS, Operation.READ, Operation.WRITE)
        yield _of_tenants(names, EVENTS, Operation.READ, Operation.WRITE)
        yield _of_tenants(names, CANCEL, Operation.WRITE)
    else:  # By whole names: a prefix of acme's is one of acme2's, too.
        for topic in request_topics(tenant):
            yield Kafka("topic", names.topic(topic), (Operation.READ, Operation.WRITE))
        yield _topic(names, tenant_topic(EVENTS, tenant), Operation.READ)
        yield _topic(names, tenant_topic(CANCEL, tenant), Operation.WRITE)


def _operator(names: Names) -> Rights:
    kafka = (
        Kafka("topic", names.topic(TOPICS), (Operation.ALL,), prefixed=True),
        Kafka("group", names.topic_prefix + GROUPS, (Operation.ALL,), prefixed=True),
        Kafka("cluster", "kafka-cluster", (Operation.DESCRIBE, Operation.DESCRIBE_CONFIGS)),
    )
    return Rights(OPERATOR, "the command line: topics, buckets, dead letters, purge", kafka=kafka, everything=True)


def _job_documents(*, claims: bool = False) -> tuple[Objects, ...]:
    """What every service that can end a job uses; ``claims``: it also claims job ids."""
    return (
        Objects("artifacts", "jobs/*/*/request.json", (READ, WRITE) if claims else (READ,)),
        Objects("artifacts", "jobs/*/*/end.json", (READ, WRITE)),
        Objects("artifacts", "dead-letters/*", (WRITE,)),
        *_probes(),
    )


def _probes() -> tuple[Objects, ...]:
    """By these objects, which belong to no job, a service tells an outage from the refusal of one object. Whole names:
    a job may have the id _probe."""
    return (
        Objects("artifacts", "*/_probe/bucket.json", (READ, WRITE)),
        Objects("artifacts", "*/_probe/never.json", (READ,)),
    )


def _topic(names: Names, topic: str, operation: Operation) -> Kafka:
    return Kafka("topic", names.topic(topic), (operation,))


def _of_tenants(names: Names, topic: str, *operations: Operation) -> Kafka:
    """The topics that each tenant has of its own in place of ``topic`` (LIPSTAGE_TENANCY=topic)."""
    return Kafka("topic", names.topic(f"{topic}."), operations, prefixed=True)


def _group(names: Names, stage: str, engine: str | None, operation: Operation) -> Kafka:
    return Kafka("group", names.group(stage, engine), (operation,))


def _configuration() -> Kafka:
    """The group protocols that the broker has enabled; without it services use the classic one."""
    return Kafka("cluster", "kafka-cluster", (Operation.DESCRIBE_CONFIGS,))
