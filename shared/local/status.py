"""The state of every part of the local stack: health, port, process and lag."""

from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import KafkaException

from shared.local import broker, readiness, store, supervision, traces
from shared.local.infrastructure import credentials_of, runtime_settings
from shared.local.processes import resident_mb
from shared.local.settings import LocalSettings
from shared.local.stack import running
from shared.local.stack_file import Stack
from shared.runtime import admin_process

PROBE_S = 2.0
LAGS_S = 30.0
"""Time limit for the lag of every group, once the broker has answered."""
PARTS = {broker.NAME: "kafka", store.NAME: "s3", traces.NAME: "traces"}
"""Program of the supervisor -> name of its port in the stack file."""


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
    parts = [_infrastructure(program, stack, lags is not None) for name, program in programs.items() if name in PARTS]
    parts.sort(key=lambda part: part.kind)
    for name, record in services.items():
        program = programs.get(name)
        healthy = program is not None and readiness.serves(record.health_port)
        missing = None if healthy else readiness.missing(record.health_port)
        parts.append(
            PartStatus(
                name=name,
                kind="service",
                port=record.health_port,
                pid=program.pid if program else 0,
                healthy=healthy,
                detail=f"not ready: {missing}" if missing else _detail(program),
                memory_mb=round(resident_mb(program.pid)) if program and program.pid else 0,
                lag=(lags or {}).get(record.group),
            )
        )
    return parts


def _infrastructure(program: supervision.Supervised, stack: Stack, broker_answers: bool) -> PartStatus:
    port = stack.ports[PARTS[program.name]]
    # Each probe is a request: a process that hangs still accepts connections.
    probes: dict[str, Callable[[], bool]] = {
        broker.NAME: lambda: broker_answers,
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


def _lags(settings: LocalSettings, stack: Stack) -> dict[str, int] | None:
    """Records not yet committed, by consumer group; None when the broker does not answer."""
    groups = {record.group: record.topic for record in stack.services}
    limit = PROBE_S + LAGS_S
    try:
        lags: dict[str, int] = admin_process.ask(
            runtime_settings(settings, stack), "lags", limit, groups=groups, timeout_s=PROBE_S
        )
    except KafkaException:
        return None
    return lags
