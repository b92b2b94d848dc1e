"""Checks of this machine and of the parts, local or named by the environment: each with its result and its fix."""

import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from confluent_kafka import KafkaException

from shared.local import (
    addresses,
    jars,
    machine,
    observability,
    other_users,
    readiness,
    remote_deployment,
    stack_file,
    store,
)
from shared.local import stack as local
from shared.local.deployment import differing
from shared.local.infrastructure import ANSWER_S, broker_fault, runtime_settings
from shared.local.machine import Check
from shared.local.retention_check import retention_checks
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack, credentials_of
from shared.local.status import PartStatus, status
from shared.local.topic_check import ADMIN_S, topic_check
from shared.runtime import admin_process
from shared.runtime.group_protocol import BROKER_RETRY_TIMEOUT_S
from shared.runtime.settings import RuntimeSettings
from shared.storage.answers import status as http_status
from shared.telemetry import tracing
from shared.telemetry.settings import TelemetrySettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

RACERS = 8
RACES = 5
TIMEOUT_S = 10.0
PAUSED = ("circuit breaker open", "missing disk space")
"""In the reason of a service that is not ready, and whose weights are not at fault."""
RACE_TIMEOUT_S = 30.0
"""In SeaweedFS the losers of a race wait for its lock for whole seconds."""


def doctor(settings: LocalSettings) -> list[Check]:
    """All checks. Broker, object store and traces are checked where they run here or are named by the environment."""
    running = local.running(settings)
    if running is not None:
        checks = machine.checks(settings, running)
        settings = local.with_engines(settings, running)
        # Topics and services are those of the stack, also where this process's variables name others.
        settings = settings.model_copy(update={"topic_prefix": running.topic_prefix if running.services
                                               else settings.topic_prefix})  # fmt: skip
        return [
            *checks,
            *_variables(running),
            *(Check("users", "warn", line, "lipstage up --secure") for line in other_users.exposure(running)),
            *_broker(settings, running),
            *_store(running),
            *retention_checks(settings, running),
            *_traces(running),
            *observability_checks(running),
            *_services(settings, running),
            *_gateway(running),
        ]
    named = stack_file.load(settings.state) or stack_file.fresh(settings.state)
    addresses.mark_own(settings, named)
    if remote_deployment.is_remote(named):
        return [*machine.checks(settings, None, remote=True), *_remote(settings, named)]
    checks = machine.checks(settings, None)
    checks += _broker(settings, named) if named.own_broker else []
    checks += _store(named) if named.own_store else []
    checks += retention_checks(settings, named) if named.own_broker and named.own_store else []
    checks += _traces(named) if named.own_traces else []
    if named.running:
        return [*checks, Check("stack", "fail", "its supervisor has ended, and every part with it", "lipstage up")]
    return [*checks, Check("stack", "warn", "no stack runs here", "lipstage up")]


def _remote(settings: LocalSettings, named: Stack) -> list[Check]:
    """The checks of a deployment that runs elsewhere: its broker, topics, groups, object store, buckets, collector."""
    if not named.own_store:
        named.s3_endpoint_url = ""  # Amazon S3: not the address of a local stack that has ended.
        named.region = addresses.region_of_own_store(settings)
    named.own_store = True  # The caller's credentials, also for Amazon S3, which needs no endpoint.
    stored = _store(named)
    if all(check.level == "ok" for check in stored):
        stored += [*remote_deployment.bucket_checks(), *retention_checks(settings, named)]
    return [*_broker(settings, named), *stored, *(_traces(named) if named.own_traces else [])]


def _variables(running: Stack) -> list[Check]:
    """One check for each variable that differs from what the running stack uses."""
    try:
        lines = differing(running)
    except ValueError:  # A value of wrong form, which the checks of the machine report.
        return []
    return [Check("variables", "fail", line, "unset it, or lipstage up") for line in lines]


def _broker(settings: LocalSettings, stack: Stack) -> list[Check]:
    fix = "start it, or correct KAFKA_BOOTSTRAP_SERVERS" if stack.own_broker else "lipstage logs broker; lipstage up"
    if fault := broker_fault(settings, stack, ANSWER_S):
        return [Check("broker", "fail", f"{stack.bootstrap_servers} {fault}", fix)]
    runtime = runtime_settings(settings, stack)
    try:
        return [_protocol(runtime, stack), topic_check(runtime), tenants_check(runtime)]
    except KafkaException as error:
        return [Check("broker", "fail", f"{stack.bootstrap_servers}: {error.args[0].str()}", fix)]


TENANCY = {
    "open": "open: whoever may produce requests or cancel commands may name any tenant",
    "single": "single: every request is one of the tenant LIPSTAGE_TENANT",
    "topic": "topic: whoever may write to a tenant's own topics speaks for it",
    "signed": "signed: whoever has a key of LIPSTAGE_TENANT_KEY speaks for its tenants",
}
"""What each value of LIPSTAGE_TENANCY means."""


def tenants_check(runtime: RuntimeSettings) -> Check:
    """Who may speak for a tenant: no fault, but an operator must know it."""
    return Check("tenants", "ok", TENANCY[runtime.tenancy])


def _protocol(runtime: RuntimeSettings, stack: Stack) -> Check:
    protocol = admin_process.ask(runtime, "protocol", BROKER_RETRY_TIMEOUT_S + ADMIN_S)
    result = f"{stack.bootstrap_servers}, {_version(runtime, stack)}, group protocol {protocol}"
    if protocol != "consumer":
        return Check(
            "broker", "warn", result, "a broker of version 4.0 or newer reassigns a killed replica's partitions faster"
        )
    return Check("broker", "ok", result)


def _version(runtime: RuntimeSettings, stack: Stack) -> str:
    """From the jars of the local broker; an external one has it in its configuration up to version 3 only."""
    if not stack.own_broker:
        return f"Apache Kafka {jars.kafka_version()}"
    version = admin_process.ask(runtime, "version", ADMIN_S)
    if version is None:
        return "version hidden from this user"
    return f"version {version}" if version else "version 4.0 or newer"


def _store(stack: Stack) -> list[Check]:
    fix = "check AWS_* and LIPSTAGE_BUCKET" if stack.own_store else "lipstage logs store; lipstage up"
    client = store.client(stack.s3_endpoint_url, credentials_of(stack), stack.region, RACE_TIMEOUT_S)
    try:
        return [conditional_put(client, stack.bucket, _endpoint(stack))]
    except ClientError as error:
        if http_status(error) == 404:
            create = "lipstage buckets apply" if stack.own_store else "lipstage up"
            return [Check("store", "fail", f"{_endpoint(stack)} has no bucket {stack.bucket}", create)]
        return [Check("store", "fail", f"{_endpoint(stack)}: {error}", fix)]
    except BotoCoreError as error:
        return [Check("store", "fail", str(error), fix)]


def _endpoint(stack: Stack) -> str:
    return stack.s3_endpoint_url or "Amazon S3"


def conditional_put(client: "S3Client", bucket: str, endpoint_url: str) -> Check:
    """Races of the conditional puts that decide which attempt wins, and which end of a replayed job: exactly one
    writer may succeed.

    Raises ClientError, BotoCoreError.
    """

    def put(key: str, number: int, etag: str | None = None) -> bool:
        body = f"{etag is None} {number}".encode()
        try:
            if etag is None:
                client.put_object(Bucket=bucket, Key=key, Body=body, IfNoneMatch="*")
            else:
                client.put_object(Bucket=bucket, Key=key, Body=body, IfMatch=etag)
        except ClientError as error:
            if http_status(error) in (409, 412):
                return False
            raise
        return True

    with ThreadPoolExecutor(RACERS) as pool:
        for _ in range(RACES):
            key = f"doctor/{uuid.uuid4().hex}"
            try:
                winners = replaced = sum(pool.map(put, [key] * RACERS, range(RACERS)))
                if winners == 1:
                    etag = client.head_object(Bucket=bucket, Key=key)["ETag"]
                    replaced = sum(pool.map(put, [key] * RACERS, range(RACERS), [etag] * RACERS))
            finally:
                client.delete_object(Bucket=bucket, Key=key)
            if replaced != 1:
                header = "If-Match" if winners == 1 else "If-None-Match: *"
                fix = f"use an object store that supports {header} (SeaweedFS, S3)"
                return Check("store", "fail", f"{replaced} of {RACERS} conditional puts won", fix)
    return Check("store", "ok", f"{endpoint_url}, {RACES} races with one winner each")


def _services(settings: LocalSettings, stack: Stack) -> list[Check]:
    """One check for all services that are ready, and one for each other service or stage without a replica."""
    parts = [part for part in status(settings) if part.kind == "service"]
    ready = [part for part in parts if part.healthy and part.pid]
    children, memory = sum(part.children for part in ready), sum(part.memory_mb for part in ready)
    summary = f"{len(ready)} ready, with {children} child processes, {memory} MB"
    return [
        *([Check("services", "ok", summary)] if ready else []),
        *(_faulty_service(part, stack) for part in parts if part not in ready),
    ]


def _gateway(stack: Stack) -> list[Check]:
    """Where the gateway answers, and whom: no fault, but an operator must know it. One that does not answer is among
    the services."""
    if stack.gateway is None or not readiness.serves(stack.gateway.health_port):
        return []
    keys = stack.gateway.keys_file
    whom = f"asks for an API key of {keys}" if keys else "asks for no API key: `lipstage keys create` makes one"
    return [Check("gateway", "ok", f"{stack.gateway_url} {whom}")]


def _faulty_service(part: PartStatus, stack: Stack) -> Check:
    record = next((record for record in stack.services if record.name == part.name), None)
    if record is None:
        fix = f"lipstage up --scale {part.name.partition('-')[0]}=1"
        return Check(part.name, "warn" if part.healthy else "fail", part.detail, fix)
    if any(text in part.detail for text in PAUSED):
        return Check(part.name, "fail", part.detail, f"lipstage logs {part.name}")
    if record.engine and part.detail.startswith("not ready"):
        return Check(part.name, "fail", part.detail, f"lipstage weights ls; lipstage logs {part.name}")
    return Check(part.name, "fail", part.detail, f"lipstage logs {part.name}; lipstage up")


def observability_checks(stack: Stack) -> list[Check]:
    """One check for each of Tempo, Prometheus and Grafana, if `up` was asked for them."""
    checks = [Check(name, "warn", reason, "install it, or lipstage up --no-observability")
              for name, reason in observability.missing(stack).items()]  # fmt: skip
    for name, url in observability.urls(stack).items():
        if readiness.serves(stack.ports[name], observability.PARTS[name].READY, TIMEOUT_S):
            checks.append(Check(name, "ok", url))
        else:
            checks.append(Check(name, "fail", f"{url} does not answer", f"lipstage logs {name}; lipstage up"))
    return checks


def _traces(stack: Stack) -> list[Check]:
    """Sends an empty export, a valid request that every OTLP receiver answers."""
    if stack.own_traces and TelemetrySettings(hash_key=None).traces_protocol == "grpc":
        answers = tracing.accepts_exports(stack.otlp_endpoint)
        what = stack.otlp_endpoint if answers else f"{stack.otlp_endpoint} accepts no traces over gRPC"
        return [Check("traces", "ok", what) if answers else Check("traces", "warn", what, "start that collector")]
    request = urllib.request.Request(stack.otlp_endpoint.rstrip("/") + "/v1/traces", data=b"",
                                     headers={"Content-Type": "application/x-protobuf"})  # fmt: skip
    fix = "start that collector, or unset OTEL_EXPORTER_OTLP_ENDPOINT" if stack.own_traces else "lipstage up"
    try:
        urllib.request.urlopen(request, timeout=TIMEOUT_S).close()
    except (OSError, ValueError) as error:
        return [Check("traces", "warn", f"{stack.otlp_endpoint} accepts no traces: {error}", fix)]
    return [Check("traces", "ok", stack.otlp_endpoint)]
