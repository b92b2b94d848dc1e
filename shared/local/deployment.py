"""The local stack as a deployment: for the client library, and as environment variables for other programs."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.client import Deployment, S3Access
from shared.local import stack
from shared.local.addresses import is_own
from shared.local.pdeathsig_launcher import OTHER_CREDENTIALS
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack
from shared.runtime.settings import RuntimeSettings
from shared.storage.settings import StorageSettings


def deployment_of(running: Stack) -> Deployment:
    """The deployment that a running stack is; the topic prefix and everything else come from the environment."""
    keys = stack.credentials_of(running)
    return Deployment(
        RuntimeSettings(bootstrap_servers=running.bootstrap_servers),
        StorageSettings(bucket=running.bucket),
        S3Access(
            endpoint_url=running.s3_endpoint_url or None,
            region=running.region,
            access_key=keys.access_key if keys else None,
            secret_key=keys.secret_key if keys else None,
        ),
        running.otlp_endpoint or None,
    )


def find_deployment(settings: LocalSettings) -> Deployment | None:
    """The deployment that the environment names; what it leaves out is the running local stack's.

    An environment that names another broker or another object store than the local stack's gets nothing from it. None
    when the environment names neither and no stack runs.
    """
    running = _completing_stack(settings)
    if running is None:
        return Deployment() if settings.kafka_bootstrap_servers or settings.s3_endpoint_url else None
    local = deployment_of(running)
    return Deployment(local.runtime, local.storage, local.s3, settings.otlp_endpoint or local.otlp_endpoint)


def find_environment(settings: LocalSettings) -> dict[str, str] | None:
    """As ``find_deployment``, as the whole environment of a program that talks to the deployment.

    Variables that lead boto3 to another store's credentials are left out when the local store's are put in.
    """
    environment = dict(os.environ)
    running = _completing_stack(settings)
    if running is None:
        return environment if settings.kafka_bootstrap_servers or settings.s3_endpoint_url else None
    environment |= running.environment(stack.credentials_of(running))
    if settings.otlp_endpoint:
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = settings.otlp_endpoint
    if not running.own_store:
        for name in OTHER_CREDENTIALS:
            environment.pop(name, None)
    return environment


def _completing_stack(settings: LocalSettings) -> Stack | None:
    """The running local stack, if it supplies what the environment leaves out."""
    broker, store = settings.kafka_bootstrap_servers, settings.s3_endpoint_url
    if broker and store and settings.otlp_endpoint:
        return None
    running = stack.running(settings)
    if running is None:
        return None
    named = is_own(broker, running.bootstrap_servers, False) or is_own(store, running.s3_endpoint_url, False)
    return None if named else running


@contextmanager
def running_deployment(
    settings: LocalSettings,
    note: Callable[[str], None] = lambda _: None,
    note_end: Callable[[str], None] = lambda _: None,
) -> Iterator[Deployment]:
    """The running local stack, or one that is started here and stopped at the end.

    ``note`` gets lines about the start, ``note_end`` one about the end. Raises InvalidSettings, StackError.
    """
    running = stack.running(settings)
    if running is not None:
        yield deployment_of(running)
        return
    note("starting the local stack")
    started = stack.up(settings, note=note)
    try:
        yield deployment_of(started)
    finally:
        note_end("stopping the local stack")
        stack.down(settings)
