"""The deployment that a command talks to: what the environment names, completed by the running local stack."""

import os

from shared.local import stack
from shared.local.addresses import is_own
from shared.local.pdeathsig_launcher import OTHER_CREDENTIALS
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack


def find_environment(settings: LocalSettings) -> dict[str, str] | None:
    """The whole environment of a program that talks to the deployment; what the caller's leaves out is the stack's.

    An environment that names another broker or another object store than the local stack's gets nothing from it. None
    when the environment names neither and no stack runs. Variables that lead boto3 to another store's credentials are
    left out when the local store's are put in.
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
