"""Checks of this machine and the stack: what is wrong, and how to mend it."""

import importlib.util
import shutil
import sys
import urllib.request
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from botocore.exceptions import BotoCoreError, ClientError
from confluent_kafka import KafkaException

from shared.local import jars, ports, stack, store
from shared.local.errors import StackError
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack
from shared.runtime import topic_admin
from shared.runtime.kafka_config import group_protocol

ROOT = Path(__file__).resolve().parents[2]
RACERS = 8
RACES = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One finding."""

    name: str
    level: Literal["ok", "warn", "fail"]
    found: str
    mend: str = ""


def doctor(settings: LocalSettings) -> list[Check]:
    """All checks; those of a running stack only when one runs here."""
    checks = [_python(), _names(), _disk(settings), _jars(settings), _ports(settings)]
    running = stack.running(settings)
    if running is None:
        return [*checks, Check("stack", "warn", "no stack runs here", "lipstage up")]
    return [*checks, *_safely("broker", lambda: _broker(settings, running)), *_safely("store", lambda: _store(running)),
            _otlp(running)]  # fmt: skip


def _safely(name: str, check: Callable[[], list[Check]]) -> list[Check]:
    try:
        return check()
    except (KafkaException, BotoCoreError, ClientError, StackError) as error:
        return [Check(name, "fail", str(error), f"lipstage logs {name}; lipstage up")]


def _python() -> Check:
    return Check("python", "ok", ".".join(map(str, sys.version_info[:3])))


def _names() -> Check:
    """`shared` and `stages` are ours: another distribution of that name would be imported instead."""
    for name in ("shared", "stages"):
        spec = importlib.util.find_spec(name)
        places = list(spec.submodule_search_locations or []) if spec else []
        if not places or Path(places[0]).resolve() != ROOT / name:
            where = places[0] if places else "nowhere"
            return Check("package names", "fail", f"{name} is imported from {where}", f"pip uninstall {name}")
    return Check("package names", "ok", "shared and stages are this project's")


def _disk(settings: LocalSettings) -> Check:
    settings.state.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.state).free // (1 << 20)
    if free < settings.disk_min_mb:
        return Check(
            "disk", "fail", f"{free} MiB free", f"free {settings.disk_min_mb - free} MiB or move LIPSTAGE_STATE_DIR"
        )
    return Check("disk", "ok", f"{free} MiB free")


def _jars(settings: LocalSettings) -> Check:
    try:
        found = jars.check(settings.jars)
    except StackError as error:
        return Check("broker files", "fail", error.message, "make setup")
    return Check("broker files", "ok", f"{len(found)} jars as locked")


def _ports(settings: LocalSettings) -> Check:
    mine = stack.running(settings)
    wanted = {"kafka": settings.kafka_port, "s3": settings.s3_port, "traces": settings.traces_port}
    for name, port in wanted.items():
        if port and not ports.is_free(port) and (mine is None or mine.ports.get(name) != port):
            return Check(
                "ports", "fail", f"{port} ({name}) is taken", f"set LIPSTAGE_{name.upper()}_PORT to another, or 0"
            )
    return Check("ports", "ok", "free or this stack's own")


def _broker(settings: LocalSettings, running: Stack) -> list[Check]:
    runtime = stack.runtime_settings(settings, running)
    protocol = group_protocol(runtime)
    level: Literal["ok", "warn"] = "ok" if protocol == "consumer" else "warn"
    mend = "" if level == "ok" else "use a broker of version 4.0 or newer for the KIP-848 protocol"
    changes = topic_admin.diff(runtime)
    topics = Check("topics", "ok", "as they should be")
    if changes:
        first = changes[0]
        topics = Check(
            "topics",
            "fail",
            f"{len(changes)} differ: {first.topic} {first.kind} {first.wanted}",
            "lipstage topics apply",
        )
    return [Check("broker", level, f"{running.bootstrap_servers}, group protocol {protocol}", mend), topics]


def _store(running: Stack) -> list[Check]:
    """The conditional put that decides which attempt wins, under a race: exactly one writer may succeed."""
    client = store.client(running.s3_endpoint_url, stack.credentials_of(running), running.region, timeout=30.0)

    def put(key: str, number: int) -> bool:
        try:
            client.put_object(Bucket=running.bucket, Key=key, Body=str(number).encode(), IfNoneMatch="*")
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in (409, 412):
                return False
            raise
        return True

    with ThreadPoolExecutor(RACERS) as pool:
        for _ in range(RACES):
            key = f"doctor/{uuid.uuid4().hex}"
            winners = sum(pool.map(put, [key] * RACERS, range(RACERS)))
            client.delete_object(Bucket=running.bucket, Key=key)
            if winners != 1:
                mend = "use a store that honours If-None-Match: * (SeaweedFS, S3)"
                return [Check("store", "fail", f"{winners} of {RACERS} conditional puts won", mend)]
    return [Check("store", "ok", f"{running.s3_endpoint_url}, {RACES} races with one winner each")]


def _otlp(running: Stack) -> Check:
    """An export of nothing is a valid request that every OTLP/HTTP receiver answers."""
    request = urllib.request.Request(running.otlp_endpoint.rstrip("/") + "/v1/traces", data=b"",
                                     headers={"Content-Type": "application/x-protobuf"})  # fmt: skip
    mend = "start that collector, or unset OTEL_EXPORTER_OTLP_ENDPOINT" if running.own_traces else "lipstage up"
    try:
        urllib.request.urlopen(request, timeout=5).close()
    except (OSError, ValueError) as error:
        return Check("traces", "warn", f"{running.otlp_endpoint} takes no traces: {error}", mend)
    return Check("traces", "ok", running.otlp_endpoint)
