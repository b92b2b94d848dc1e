"""Every part of the local stack as it is now: whether it answers, where, and how much work waits for it."""

from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from shared.local import broker, readiness, store, supervision, traces
from shared.local.infrastructure import broker_answers, credentials_of, runtime_settings
from shared.local.processes import resident_mb
from shared.local.settings import LocalSettings
from shared.local.stack import running
from shared.local.stack_file import ServiceRecord, Stack
from shared.runtime.kafka_config import base

TIMEOUT_S = 5.0
PROBE_S = 2.0
PARTS = {broker.NAME: "kafka", store.NAME: "s3", traces.NAME: "traces"}
"""Program of the supervisor -> its port's name in the stack file."""


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One part. ``lag`` is records not yet committed, for services; None where it does not apply or is unknown."""

    name: str
    kind: str
    """broker | store | traces | service"""
    port: int
    pid: int
    healthy: bool
    detail: str
    memory_mb: int
    lag: int | None = None


def status(settings: LocalSettings) -> list[PartStatus]:
    """All parts, infrastructure first; an empty list when no stack runs here."""
    stack = running(settings)
    if stack is None:
        return []
    try:
        programs = {program.name: program for program in stack.supervisor().programs()}
    except supervision.FAULTS:
        return []
    lags = _lags(settings, stack)
    services = {record.name: record for record in stack.services}
    found = [_infrastructure(settings, program, stack) for name, program in programs.items() if name in PARTS]
    found.sort(key=lambda part: part.kind)
    for name, record in services.items():
        program = programs.get(name)
        healthy = program is not None and readiness.serves(record.health_port)
        lacks = None if healthy else readiness.lacking(record.health_port)
        found.append(
            PartStatus(
                name=name,
                kind="service",
                port=record.health_port,
                pid=program.pid if program else 0,
                healthy=healthy,
                detail=f"waits: {lacks}" if lacks else _detail(program),
                memory_mb=round(resident_mb(program.pid)) if program and program.pid else 0,
                lag=lags.get(record.group),
            )
        )
    return found


def _infrastructure(settings: LocalSettings, program: supervision.Supervised, stack: Stack) -> PartStatus:
    port = stack.ports[PARTS[program.name]]
    # A real request each: a process that hangs still accepts connections.
    probes: dict[str, Callable[[], bool]] = {
        broker.NAME: lambda: broker_answers(settings, stack, PROBE_S),
        store.NAME: lambda: store.answers(
            store.client(stack.s3_endpoint_url, credentials_of(stack), stack.region, PROBE_S)
        ),
        traces.NAME: lambda: readiness.serves(port, "/healthz", PROBE_S),
    }
    return PartStatus(
        name=program.name,
        kind=program.name,
        port=port,
        pid=program.pid,
        healthy=program.pid != 0 and probes[program.name](),
        detail=_detail(program),
        memory_mb=round(resident_mb(program.pid)) if program.pid else 0,
    )


def _detail(program: supervision.Supervised | None) -> str:
    if program is None:
        return "unknown to the supervisor"
    return f"{program.state.lower()}, {program.detail}" if program.detail else program.state.lower()


def _lags(settings: LocalSettings, stack: Stack) -> dict[str, int]:
    """Records not yet committed, by consumer group; none when the broker does not answer."""
    admin = AdminClient({**base(runtime_settings(settings, stack), "status"), "log_level": 0})
    by_group: dict[str, ServiceRecord] = {record.group: record for record in stack.services}
    try:
        return {group: _lag(admin, group, record.topic) for group, record in by_group.items()}
    except (KafkaException, TimeoutError):
        return {}


def _lag(admin: AdminClient, group: str, topic: str) -> int:
    known = admin.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
    partitions = [TopicPartition(topic, number) for number in known.partitions]
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, partitions)])
    committed = {p.partition: p.offset for p in asked[group].result(timeout=TIMEOUT_S).topic_partitions}
    ends = admin.list_offsets({p: OffsetSpec.latest() for p in partitions})  # type: ignore[no-untyped-call]
    starts = admin.list_offsets({p: OffsetSpec.earliest() for p in partitions})  # type: ignore[no-untyped-call]
    first = {p.partition: future.result(timeout=TIMEOUT_S).offset for p, future in starts.items()}
    lag = 0
    for partition, future in ends.items():
        at = committed.get(partition.partition, -1)
        lag += future.result(timeout=TIMEOUT_S).offset - (at if at >= 0 else first[partition.partition])
    return lag
