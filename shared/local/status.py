"""The state of every part of the local stack: health, port, process and lag."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial

from shared.local import broker, observability, readiness, store, supervision, trace_receiver
from shared.local.credentials import load_or_create
from shared.local.infrastructure import runtime_settings
from shared.local.processes import Usage, usage
from shared.local.services import Consumer, consumers
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack, running, with_engines
from shared.messages.pipeline import GATEWAY, RELAY
from shared.runtime import admin_process
from shared.runtime.host.not_ready import NOT_READY

LAGS_S = 30.0
"""Time limit for the lag of every group, once the broker has answered."""
PARTS = {
    broker.NAME: "kafka",
    store.NAME: "s3",
    trace_receiver.NAME: "traces",
    **{name: name for name in observability.PARTS},
}
"""Program of the supervisor -> name of its port in the stack file."""


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One part, or a stage that is scaled to 0, which has no port and no process.

    ``lag`` is records not yet committed, for services; of the relay: records that wait for their next attempt, which is
    no fault. None where it does not apply or is unknown.
    """

    name: str
    kind: str
    """broker | store | traces | tempo | prometheus | grafana | service"""
    port: int
    pid: int
    healthy: bool
    detail: str
    children: int
    """Child processes, such as the workers of a service."""
    memory_mb: int
    """Resident memory of the process and its children, MiB."""
    lag: int | None = None


def status(settings: LocalSettings) -> list[PartStatus]:
    """All parts, infrastructure first; an empty list when no stack runs here."""
    stack = running(settings.state)
    if stack is None:
        return []
    settings = with_engines(settings, stack)
    idle = scaled_to_0(settings, stack)
    with ThreadPoolExecutor(1) as pool:
        # In a process of its own, whose start takes longer than all other probes.
        asked = pool.submit(_lags, settings, stack, idle)
        return _parts(stack, idle, asked.result)


def _parts(stack: Stack, idle: list[Consumer], lags_of_groups: Callable[[], dict[str, int] | None]) -> list[PartStatus]:
    try:
        programs = {program.name: program for program in stack.supervisor().programs()}
    except supervision.FAULTS:
        return []
    used = usage(program.pid for program in programs.values() if program.pid)
    served = {record.name: readiness.serves(record.health_port) for record in stack.services if record.name in programs}
    infrastructure = [program for name, program in programs.items() if name in PARTS]
    probed = {program.name: _probe(program, stack) for program in infrastructure if program.name != broker.NAME}
    lags = lags_of_groups()
    probed[broker.NAME] = lags is not None
    parts = [_infrastructure(program, stack, used, probed[program.name]) for program in infrastructure]
    parts.sort(key=lambda part: part.kind)
    for record in stack.services:
        name = record.name
        program = programs.get(name)
        healthy = served.get(name, False)
        parts.append(
            PartStatus(
                name=name,
                kind="service",
                port=record.port if record.stage == GATEWAY else record.health_port,
                pid=program.pid if program else 0,
                healthy=healthy,
                detail=_detail(program) if healthy else _fault(program, record.health_port),
                **_used(program, used),
                lag=(lags or {}).get(record.group),
            )
        )
    return [*parts, *(_idle(consumer, (lags or {}).get(consumer.group)) for consumer in idle)]


def scaled_to_0(settings: LocalSettings, stack: Stack) -> list[Consumer]:
    """The consumer groups of stages without a replica."""
    return [one for one in consumers(settings) if stack.scale.get(one.stage) == 0]


def _idle(consumer: Consumer, lag: int | None) -> PartStatus:
    one, more = ("retry waits", "retries wait") if consumer.stage == RELAY else ("job waits", "jobs wait")
    waiting = f", {lag} {one if lag == 1 else more}" if lag else ""
    return PartStatus(consumer.name, "service", 0, 0, not lag, f"scaled to 0{waiting}", 0, 0, lag)


def _used(program: supervision.Supervised | None, used: Mapping[int, Usage]) -> dict[str, int]:
    usage = used.get(program.pid) if program else None
    return asdict(usage) if usage else {"children": 0, "memory_mb": 0}


def _probe(program: supervision.Supervised, stack: Stack) -> bool:
    """Whether a part of the infrastructure answers a request: a process that hangs still accepts connections."""
    port = stack.ports[PARTS[program.name]]
    probes: dict[str, Callable[[], bool]] = {
        store.NAME: lambda: store.serves(port, load_or_create(stack.state_dir), stack.region, readiness.ANSWER_S),
        trace_receiver.NAME: lambda: readiness.serves(port, "/healthz"),
    }
    for name, part in observability.PARTS.items():
        probes[name] = partial(readiness.serves, port, part.READY)
    return program.pid != 0 and probes[program.name]()


def _infrastructure(
    program: supervision.Supervised, stack: Stack, used: Mapping[int, Usage], answers: bool
) -> PartStatus:
    return PartStatus(
        name=program.name,
        kind=program.name,
        port=stack.ports[PARTS[program.name]],
        pid=program.pid,
        healthy=program.pid != 0 and answers,
        detail=_detail(program),
        **_used(program, used),
    )


def _fault(program: supervision.Supervised | None, port: int) -> str:
    """Why a service is not healthy."""
    if (reason := readiness.refusal(port)) is not None:
        return f"not ready: {reason.removeprefix(NOT_READY)}"
    state = _detail(program)
    return f"does not answer: {state}" if program is not None and program.pid else state


def _detail(program: supervision.Supervised | None) -> str:
    if program is None:
        return "unknown to the supervisor"
    return f"{program.state.lower()}, {program.detail}" if program.detail else program.state.lower()


def _lags(settings: LocalSettings, stack: Stack, idle: list[Consumer]) -> dict[str, int] | None:
    """Records not yet committed, by consumer group; None when the broker does not answer."""
    groups = {record.group: record.topic for record in stack.services if record.group}
    groups |= {one.group: one.topic for one in idle}
    limit = readiness.ANSWER_S + LAGS_S
    try:
        lags: dict[str, int] = admin_process.ask(
            runtime_settings(settings, stack), "lags", limit, groups=groups, timeout_s=readiness.ANSWER_S
        )
    except Exception as error:
        from confluent_kafka import KafkaException  # Too slow for a broker that answers.

        if not isinstance(error, KafkaException):
            raise
        return None
    return lags
