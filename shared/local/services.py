"""The stage services as programs of the supervisor: one program per replica, each with a health port of its own."""

import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from shared.local import ports
from shared.local.engine_python import engine_python
from shared.local.engine_weights import environment as weights_environment
from shared.local.errors import StackCode, StackError
from shared.local.program import Program
from shared.local.settings import CHECKOUT, LocalSettings
from shared.local.stack_file import ServiceRecord, Stack
from shared.local.variables import passed_on
from shared.messages.engines import ENGINE_PARAMS
from shared.messages.pipeline import PIPELINE, STAGES

MOST_REPLICAS = 64
AFTER_DRAIN_S = 5
"""From the end of its drain a service has so long to leave its group and to send its last spans."""


def check_scale(scale: Mapping[str, int]) -> None:
    """Raises StackError (BAD_SCALE) for an unknown stage or an impossible number of replicas."""
    for stage, count in scale.items():
        if stage not in STAGES:
            raise StackError(StackCode.BAD_SCALE, f"{stage!r} is no stage; stages are {', '.join(STAGES)}")
        if not 0 <= count <= MOST_REPLICAS:
            raise StackError(StackCode.BAD_SCALE, f"{stage}={count}: a stage can have 0 to {MOST_REPLICAS} replicas")


def check_engines(settings: LocalSettings) -> None:
    """Raises StackError: BAD_ENGINE for a name that is none, TORCH_MISSING for one whose environment is missing."""
    for engine in settings.engines:
        if engine not in ENGINE_PARAMS:
            known = ", ".join(ENGINE_PARAMS)
            raise StackError(StackCode.BAD_ENGINE, f"this build has no engine {engine!r}; engines are {known}")
        engine_python(engine)


def records(settings: LocalSettings, stack: Stack, scale: Mapping[str, int]) -> list[ServiceRecord]:
    """The services to run: one replica per stage (infer: per engine) unless ``scale`` says otherwise.

    A replica that already runs keeps its health port.
    """
    before = {record.name: record.health_port for record in stack.services}
    found: list[ServiceRecord] = []
    for step in PIPELINE:
        for engine in settings.engines if "{engine}" in step.source else (None,):
            name = f"{step.name}-{engine}" if engine else step.name
            group = f"{settings.topic_prefix}lipstage.{step.name}" + (f".{engine}" if engine else "")
            topic = settings.topic_prefix + step.source.format(engine=engine)
            for index in range(scale.get(step.name, 1)):
                replica = f"{name}-{index}"
                found.append(ServiceRecord(name=replica, stage=step.name, engine=engine, topic=topic, group=group,
                                           health_port=before.get(replica, 0)))  # fmt: skip
    missing = [record for record in found if not record.health_port]
    taken = {*before.values(), *stack.ports.values()}
    for record, port in zip(missing, ports.pick(len(missing), taken), strict=True):
        record.health_port = port
    return found


def _concerns(record: ServiceRecord, name: str) -> bool:
    """Whether a variable may change what the service does: one that it does not read must not restart it.

    Only the front asks which engines there are; an engine's variables carry its name.
    """
    engine = next((e for e in ENGINE_PARAMS if name.startswith(f"LIPSTAGE_{e.upper()}_")), None)
    return name != "LIPSTAGE_ENGINES" and engine in (None, record.engine)


def program(settings: LocalSettings, stack: Stack, record: ServiceRecord) -> Program:
    """The program of one replica."""
    engine = ("--engine", record.engine) if record.engine else ()
    environment = {
        **{name: value for name, value in os.environ.items() if passed_on(name) and _concerns(record, name)},
        # A service runs in another folder than its caller.
        **(weights_environment(record.engine) if record.engine else {}),
        **stack.environment(None),
        "LIPSTAGE_TOPIC_PREFIX": settings.topic_prefix,
        **({"LIPSTAGE_ENGINES": ",".join(settings.engines)} if record.stage == STAGES[0] else {}),
        "LIPSTAGE_HEALTH_PORT": str(record.health_port),
        "LIPSTAGE_DRAIN_S": str(settings.drain_s),
        "PYTHONPATH": os.pathsep.join([str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(stack.scratch),
    }
    python = engine_python(record.engine) if record.engine else Path(sys.executable)
    argv = (str(python), "-m", "shared.cli.main", "stage", record.stage, *engine)
    return Program(
        record.name,
        argv,
        environment,
        with_credentials=not stack.own_store,
        with_cache_key=True,
        stop_seconds=math.ceil(settings.drain_s) + AFTER_DRAIN_S,
    )
