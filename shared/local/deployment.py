"""The local stack as a deployment: for the client library, and as environment variables for other programs.

The environment names a deployment, and the running local stack supplies what it leaves out. Local addresses and keys
never go together with those of another deployment.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from shared.client.deployment import Deployment
from shared.local import stack_file
from shared.local.addresses import is_own
from shared.local.pdeathsig_launcher import OTHER_CREDENTIALS
from shared.local.settings import LocalSettings
from shared.local.stack_file import PROTOCOLS, Stack, credentials_of
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settings_variables import InvalidSettings, assignment, read
from shared.storage.client import S3Access
from shared.storage.settings import StorageSettings

OBJECT_STORE = ("AWS_ENDPOINT_URL", "LIPSTAGE_BUCKET", "LIPSTAGE_INPUT_BUCKETS")
"""Variables that name the object store of another deployment, beside AWS_ENDPOINT_URL_S3."""
INPUT_BUCKETS = "LIPSTAGE_INPUT_BUCKETS"
DEFAULT_INPUT_BUCKETS = json.dumps(StorageSettings.model_fields["input_buckets"].get_default(call_default_factory=True))


def deployment_of(running: Stack) -> Deployment:
    """The deployment that a running stack is."""
    keys = credentials_of(running)
    variables = _completed(running)
    return Deployment(
        read(RuntimeSettings, variables),
        read(StorageSettings, variables),
        S3Access(
            endpoint_url=running.s3_endpoint_url or None,
            region=running.region,
            access_key=keys.access_key if keys else None,
            secret_key=keys.secret_key if keys else None,
        ),
        running.otlp_endpoint or None,
        None if running.own_traces else "http/protobuf",
        running.url("tempo") or None,
    )


def find_deployment(settings: LocalSettings) -> Deployment | None:
    """The deployment that the environment names; what it leaves out is the running local stack's.

    An environment that names another broker than the local stack's gets nothing from it. None when the environment
    names no deployment and no stack runs. Raises InvalidSettings for an environment that names half of a deployment.
    """
    running = _completing_stack(settings)
    if running is None:
        return Deployment(tempo_url=settings.tempo_url or None) if settings.kafka_bootstrap_servers else None
    local = deployment_of(running)
    return replace(
        local,
        otlp_endpoint=settings.otlp_endpoint or local.otlp_endpoint,
        otlp_protocol=None if settings.otlp_endpoint else local.otlp_protocol,
        tempo_url=settings.tempo_url or local.tempo_url,
    )


def find_environment(settings: LocalSettings) -> dict[str, str] | None:
    """As ``find_deployment``, as the whole environment of a program that talks to the deployment.

    Variables that lead boto3 to another store's credentials are left out when the local store's are put in.
    """
    running = _completing_stack(settings)
    if running is None:
        return dict(os.environ) if settings.kafka_bootstrap_servers else None
    environment = _completed(running) | running.environment(credentials_of(running))
    if settings.otlp_endpoint:
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = settings.otlp_endpoint
        for name in PROTOCOLS:  # Those of the stack are of its own receiver.
            environment.pop(name, None)
        environment |= {name: os.environ[name] for name in PROTOCOLS if name in os.environ}
    if settings.tempo_url:
        environment["LIPSTAGE_TEMPO_URL"] = settings.tempo_url
    if not running.own_store:
        for name in OTHER_CREDENTIALS:
            environment.pop(name, None)
    return environment


def _completed(running: Stack) -> dict[str, str]:
    """This process's variables, completed by those that the services of the stack have."""
    own = {name: value for name, value in os.environ.items() if value or name not in running.variables}
    return {**running.variables, **own, **running.environment(None)}


def _completing_stack(settings: LocalSettings) -> Stack | None:
    """The running local stack, if it supplies what the environment leaves out. Raises InvalidSettings."""
    broker, store = settings.kafka_bootstrap_servers, settings.s3_endpoint_url
    if broker and store and settings.otlp_endpoint:
        return None
    running = stack_file.running(settings.state)
    foreign_broker = is_own(broker, running.bootstrap_servers if running else "", False)
    foreign_store = is_own(store, running.s3_endpoint_url if running else "", False)
    if foreign_store and not broker:
        raise InvalidSettings([f"{assignment('AWS_ENDPOINT_URL_S3')} names an object store that no running stack uses:"
                               " set KAFKA_BOOTSTRAP_SERVERS as well, or unset it for the local stack"])  # fmt: skip
    if foreign_broker and not store and not any(os.environ.get(name) for name in OBJECT_STORE):
        raise InvalidSettings([f"{assignment('KAFKA_BOOTSTRAP_SERVERS')} names another deployment, and nothing its"
                               " object store: set AWS_ENDPOINT_URL_S3, or LIPSTAGE_INPUT_BUCKETS and LIPSTAGE_BUCKET"
                               " for your buckets in Amazon S3"])  # fmt: skip
    if running is None or foreign_broker or foreign_store:
        return None
    RuntimeSettings(), StorageSettings()  # A value of wrong form is reported as such.
    if lines := differing(running):
        raise InvalidSettings(lines)
    return running


def differing(running: Stack) -> list[str]:
    """A line for each variable with which no service of the stack would see this process's jobs. Raises ValueError for
    one of wrong form."""
    used = {"LIPSTAGE_BUCKET": running.bucket}
    if running.services:
        used["LIPSTAGE_TOPIC_PREFIX"] = running.topic_prefix
        used[INPUT_BUCKETS] = running.variables.get(INPUT_BUCKETS) or DEFAULT_INPUT_BUCKETS
    return [
        f"{assignment(name)}: the running stack uses {value or 'none'}; `lipstage up` changes it, or unset it"
        for name, value in used.items()
        if (own := os.environ.get(name)) and not _is_same(name, own, value)
    ]


def _is_same(name: str, own: str, value: str) -> bool:
    return own == value or (name == INPUT_BUCKETS and bool(json.loads(own) == json.loads(value)))


@contextmanager
def running_deployment(
    settings: LocalSettings,
    note: Callable[[str], None] = lambda _: None,
    note_end: Callable[[str], None] = lambda _: None,
) -> Iterator[Deployment]:
    """The running local stack, or one that is started here and stopped at the end.

    ``note`` gets lines about the start, ``note_end`` one about the end. Raises InvalidSettings, StackError.
    """
    running = stack_file.running(settings.state)
    if running is not None:
        yield deployment_of(running)
        return
    from shared.local import stack  # Everything that a start needs.

    note("starting the local stack")
    started = stack.up(settings, note=note)
    try:
        yield deployment_of(started)
    finally:
        note_end("stopping the local stack")
        stack.down(settings)
