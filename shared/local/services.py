"""The stage services and the relay as programs of the supervisor: one per replica, each with its own health port."""

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.local import access_files, extras, gateway, ports, signing_certificate
from shared.local.engine_python import engine_python
from shared.local.errors import StackCode, StackError
from shared.local.installation import import_path
from shared.local.program import Program
from shared.local.settings import LocalSettings
from shared.local.stack_file import ServiceRecord, Stack
from shared.local.variables import passed_on
from shared.messages.engines import ENGINE_PARAMS
from shared.messages.pipeline import GATEWAY, OPTIONAL, PIPELINE, PROJECTION, RELAY, SERVICES, STAGES, WEBHOOKS
from shared.messages.topics import EVENTS, RETRY
from shared.messages.topics import WEBHOOKS as NOTICES
from shared.runtime.host.weights_settings import WeightsSettings, external_engines

MAX_REPLICAS = 64
ONLY_ONE = {
    PROJECTION: "each replica would know a part of the jobs",
    GATEWAY: "the stack has one address",
    WEBHOOKS: "one is enough on one machine",
}
EXTRAS = {PROJECTION: "projection", GATEWAY: "gateway", WEBHOOKS: "gateway"}
"""The extra that each optional service needs."""
LISTENING = (PROJECTION, GATEWAY)
"""Services with a port of their own beside that of their health."""
AFTER_DRAIN_S = 5
"""Seconds that a service has after its drain, to leave its group and to export its last spans."""


def check_scale(scale: Mapping[str, int]) -> None:
    """Raises StackError (BAD_SCALE) for an unknown stage or an impossible number of replicas."""
    for stage, count in scale.items():
        if stage not in (*SERVICES, *OPTIONAL):
            known = ", ".join((*SERVICES, *OPTIONAL))
            raise StackError(StackCode.BAD_SCALE, f"there is no stage {stage!r}; stages are {known}")
        if stage in OPTIONAL and count and (lacks := extras.missing(EXTRAS[stage])):
            raise StackError(StackCode.BAD_SCALE, f"{stage}={count}: {extras.explain(lacks[0])}")
        if stage in OPTIONAL and count > 1:
            raise StackError(StackCode.BAD_SCALE, f"{stage}={count}: {ONLY_ONE[stage]}; 0 or 1")
        if not 0 <= count <= MAX_REPLICAS:
            raise StackError(StackCode.BAD_SCALE, f"{stage}={count}: a stage can have 0 to {MAX_REPLICAS} replicas")


def check_engine_names(settings: LocalSettings) -> None:
    """Raises StackError (BAD_ENGINE) for an unknown engine."""
    for engine in settings.engines:
        if engine not in ENGINE_PARAMS:
            known = ", ".join(ENGINE_PARAMS)
            raise StackError(StackCode.BAD_ENGINE, f"this build has no engine {engine!r}; engines are {known}")


def check_engines(settings: LocalSettings) -> None:
    """Raises StackError: BAD_ENGINE for an unknown engine, TORCH_MISSING for one whose environment is missing."""
    check_engine_names(settings)
    for engine in settings.engines:
        engine_python(engine)


@dataclass(frozen=True, slots=True)
class Consumer:
    """A consumer group of the deployment: one for each stage, for infer one for each engine, and one of the relay. The
    gateway joins none: its topic and its group are empty."""

    name: str
    stage: str
    engine: str | None
    topic: str
    """Each reads several: the start of their names and ``*``."""
    group: str


def consumers(settings: LocalSettings) -> list[Consumer]:
    """The consumer groups that the enabled engines need, in the pipeline's order; the relay's is the last."""
    result: list[Consumer] = []
    for step in PIPELINE:
        for engine in settings.engines if "{engine}" in step.source else (None,):
            name = f"{step.name}-{engine}" if engine else step.name
            group = f"{settings.topic_prefix}lipstage.{step.name}" + (f".{engine}" if engine else "")
            topic = f"{settings.topic_prefix}{step.topic(engine)}*"
            result.append(Consumer(name, step.name, engine, topic, group))
    retries = f"{settings.topic_prefix}{RETRY}*"
    return [*result, Consumer(RELAY, RELAY, None, retries, f"{settings.topic_prefix}lipstage.{RELAY}")]


def records(settings: LocalSettings, stack: Stack, scale: Mapping[str, int]) -> list[ServiceRecord]:
    """The services to run: one replica per stage (infer: per engine) and one relay, or the number in ``scale``.

    A replica that runs keeps its health port.
    """
    ports_in_use = {record.name: record.health_port for record in stack.services}
    answers_at = {record.name: record.port for record in stack.services}
    result: list[ServiceRecord] = []
    for one in [
        *consumers(settings),
        _projection(settings),
        Consumer(GATEWAY, GATEWAY, None, "", ""),
        _webhooks(settings),
    ]:
        for index in range(scale.get(one.stage, 0 if one.stage in OPTIONAL else 1)):
            replica = f"{one.name}-{index}"
            result.append(ServiceRecord(name=replica, stage=one.stage, engine=one.engine, topic=one.topic,
                                        group=one.group, health_port=ports_in_use.get(replica, 0),
                                        port=answers_at.get(replica, 0)))  # fmt: skip
    without_port = [record for record in result if not record.health_port]
    taken = {*ports_in_use.values(), *stack.ports.values()}
    for record, port in zip(without_port, ports.pick(len(without_port), taken), strict=True):
        record.health_port = port
    taken |= {record.health_port for record in result}
    for record in result:
        if record.stage == GATEWAY:
            record.port = gateway.configured_port() or record.port
            record.keys_file = gateway.keys_in_use(os.environ, settings.state)
        if record.stage in LISTENING and not record.port:
            (record.port,) = ports.pick(1, taken)
            taken.add(record.port)
    return result


def _projection(settings: LocalSettings) -> Consumer:
    topic, group = settings.topic_prefix + EVENTS, f"{settings.topic_prefix}lipstage.{PROJECTION}"
    return Consumer(PROJECTION, PROJECTION, None, topic, group)


def _webhooks(settings: LocalSettings) -> Consumer:
    """It reads the events, too."""
    topic, group = settings.topic_prefix + NOTICES, f"{settings.topic_prefix}lipstage.{WEBHOOKS}"
    return Consumer(WEBHOOKS, WEBHOOKS, None, topic, group)


def _concerns(record: ServiceRecord, name: str) -> bool:
    """Whether the service reads the variable: a change of another one must not restart it.

    Only the first stage reads which engines are enabled; the names of an engine's variables contain its name.
    """
    engine = next((e for e in ENGINE_PARAMS if name.startswith(f"LIPSTAGE_{e.upper()}_")), None)
    return name != "LIPSTAGE_ENGINES" and engine in (None, record.engine)


def program(settings: LocalSettings, stack: Stack, record: ServiceRecord) -> Program:
    """The program of one replica."""
    engine = ("--engine", record.engine) if record.engine else ()
    environment = {
        **{name: value for name, value in os.environ.items() if passed_on(name) and _concerns(record, name)},
        # Absolute folders: a service runs in another folder than its caller.
        **(WeightsSettings().environment(record.engine) if record.engine in external_engines() else {}),
        **(signing_certificate.variables(settings.state) if record.stage == STAGES[-1] else {}),
        **stack.environment(None),
        **_kafka_login(stack, record.stage),
        "LIPSTAGE_TOPIC_PREFIX": settings.topic_prefix,
        **({"LIPSTAGE_ENGINES": ",".join(settings.engines)} if record.stage == STAGES[0] else {}),
        # `up` and `status` ask there, whatever LIPSTAGE_HEALTH_HOST says.
        "LIPSTAGE_HEALTH_HOST": ports.HOST,
        "LIPSTAGE_HEALTH_PORT": str(record.health_port),
        "LIPSTAGE_DRAIN_S": str(settings.drain_s),
        **import_path(os.environ),
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(stack.scratch),
    }
    python = engine_python(record.engine) if record.engine else Path(sys.executable)
    argv = (str(python), "-P", "-m", "shared.runtime", record.stage, *engine)
    if record.stage == PROJECTION:
        argv = (str(python), "-P", "-m", "stages.gateway.projection")
        environment |= {"LIPSTAGE_PROJECTION_HOST": ports.HOST, "LIPSTAGE_PROJECTION_PORT": str(record.port)}
    if record.stage == GATEWAY:
        argv = (str(python), "-P", "-m", gateway.MODULE)
        environment |= gateway.variables(record.port, record.keys_file, stack.url("grafana"), os.environ)
    if record.stage == WEBHOOKS:
        argv = (str(python), "-P", "-m", "stages.gateway.webhooks")
    return Program(
        record.name,
        argv,
        environment,
        with_credentials=not stack.own_store,
        with_cache_key=True,
        with_webhook_key=record.stage in (GATEWAY, WEBHOOKS),
        secrets=access_files.secrets_file(stack.state_dir, record.stage) if stack.secure else None,
        stop_seconds=math.ceil(settings.drain_s) + AFTER_DRAIN_S,
    )


def _kafka_login(stack: Stack, stage: str) -> dict[str, str]:
    """The variable with which the service logs in as itself, not as the operator."""
    if stack.kafka_properties_file is None:
        return {}
    return {"KAFKA_PROPERTIES_FILE": str(access_files.properties_file(stack.state_dir, stage))}
