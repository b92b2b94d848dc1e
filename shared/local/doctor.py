"""Checks of this machine and of the parts, local or named by the environment: what is wrong, and what mends it."""

import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from confluent_kafka import KafkaException

from shared.local import addresses, jars, machine, stack, stack_file, store
from shared.local.infrastructure import ANSWER_S, broker_answers, credentials_of, runtime_settings
from shared.local.machine import Check
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack
from shared.runtime import admin_process
from shared.runtime.kafka_config import BROKER_PATIENCE_S
from shared.runtime.settings import RuntimeSettings
from shared.storage.answers import status

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

RACERS = 8
RACES = 5
TIMEOUT_S = 10.0
ADMIN_S = 45.0
"""The longest that one request of the admin client may take, its process's start included."""
RACE_TIMEOUT_S = 30.0
"""SeaweedFS lets losers of a race wait for its lock by whole seconds."""


def doctor(settings: LocalSettings) -> list[Check]:
    """All checks. Those of broker, store and traces are for the parts that run here or that the environment names."""
    running = stack.running(settings)
    checks = machine.checks(settings, running)
    if running is not None:
        settings = stack.with_engines(settings, running)
        return [*checks, *_broker(settings, running), *_store(running), *_traces(running), *_engines(running)]
    named = stack_file.load(settings.state) or stack_file.fresh(settings.state)
    addresses.mark_own(settings, named)
    checks += _broker(settings, named) if named.own_broker else []
    checks += _store(named) if named.own_store else []
    checks += _traces(named) if named.own_traces else []
    return [*checks, Check("stack", "warn", "no stack runs here", "lipstage up")]


def _broker(settings: LocalSettings, at: Stack) -> list[Check]:
    mend = "start it, or correct KAFKA_BOOTSTRAP_SERVERS" if at.own_broker else "lipstage logs broker; lipstage up"
    if not broker_answers(settings, at, ANSWER_S):
        return [Check("broker", "fail", f"{at.bootstrap_servers} does not answer", mend)]
    runtime = runtime_settings(settings, at)
    try:
        return [_protocol(runtime, at), _topics(runtime)]
    except KafkaException as error:
        return [Check("broker", "fail", f"{at.bootstrap_servers}: {error.args[0].str()}", mend)]


def _protocol(runtime: RuntimeSettings, at: Stack) -> Check:
    protocol = admin_process.ask(runtime, "protocol", BROKER_PATIENCE_S + ADMIN_S)
    found = f"{at.bootstrap_servers}, {_version(runtime, at)}, group protocol {protocol}"
    if protocol != "consumer":
        return Check("broker", "warn", found, "a broker of version 4.0 or newer moves a killed replica's work faster")
    return Check("broker", "ok", found)


def _version(runtime: RuntimeSettings, at: Stack) -> str:
    """The local broker's from its jars; another one tells it in its configuration up to version 3, then no more."""
    if not at.own_broker:
        return f"Apache Kafka {jars.kafka_version()}"
    told = admin_process.ask(runtime, "version", ADMIN_S)
    if told is None:
        return "version not told to this user"
    return f"version {told}" if told else "version 4.0 or newer"


def _topics(runtime: RuntimeSettings) -> Check:
    changes = admin_process.ask(runtime, "diff", ADMIN_S)
    if not changes:
        return Check("topics", "ok", "as they should be")
    first = changes[0]
    found = f"{len(changes)} differ: {first['topic']} {first['kind']} {first['wanted']}"
    return Check("topics", "fail", found, "lipstage topics apply")


def _store(at: Stack) -> list[Check]:
    mend = "check AWS_* and LIPSTAGE_BUCKET" if at.own_store else "lipstage logs store; lipstage up"
    client = store.client(at.s3_endpoint_url, credentials_of(at), at.region, RACE_TIMEOUT_S)
    try:
        return [conditional_put(client, at.bucket, at.s3_endpoint_url)]
    except ClientError as error:
        if status(error) == 404:
            return [Check("store", "fail", f"{at.s3_endpoint_url} has no bucket {at.bucket}", "lipstage up makes it")]
        return [Check("store", "fail", f"{at.s3_endpoint_url}: {error}", mend)]
    except BotoCoreError as error:
        return [Check("store", "fail", str(error), mend)]


def conditional_put(client: "S3Client", bucket: str, where: str) -> Check:
    """The put that decides which attempt wins, under a race: exactly one writer may succeed. Raises what boto3 does."""

    def put(key: str, number: int) -> bool:
        try:
            client.put_object(Bucket=bucket, Key=key, Body=str(number).encode(), IfNoneMatch="*")
        except ClientError as error:
            if status(error) in (409, 412):
                return False
            raise
        return True

    with ThreadPoolExecutor(RACERS) as pool:
        for _ in range(RACES):
            key = f"doctor/{uuid.uuid4().hex}"
            try:
                winners = sum(pool.map(put, [key] * RACERS, range(RACERS)))
            finally:
                client.delete_object(Bucket=bucket, Key=key)
            if winners != 1:
                mend = "use a store that honours If-None-Match: * (SeaweedFS, S3)"
                return Check("store", "fail", f"{winners} of {RACERS} conditional puts won", mend)
    return Check("store", "ok", f"{where}, {RACES} races with one winner each")


def _engines(at: Stack) -> list[Check]:
    """Engines whose services lack something, as weights."""
    engines = {record.name: record.engine for record in at.services}
    return [
        Check(name, "fail", f"waits: {lacks}", f"docs/{engines[name]}.md") for name, lacks in stack.waiting(at).items()
    ]


def _traces(at: Stack) -> list[Check]:
    """An export of nothing is a valid request that every OTLP/HTTP receiver answers."""
    request = urllib.request.Request(at.otlp_endpoint.rstrip("/") + "/v1/traces", data=b"",
                                     headers={"Content-Type": "application/x-protobuf"})  # fmt: skip
    mend = "start that collector, or unset OTEL_EXPORTER_OTLP_ENDPOINT" if at.own_traces else "lipstage up"
    try:
        urllib.request.urlopen(request, timeout=TIMEOUT_S).close()
    except (OSError, ValueError) as error:
        return [Check("traces", "warn", f"{at.otlp_endpoint} takes no traces: {error}", mend)]
    return [Check("traces", "ok", at.otlp_endpoint)]
