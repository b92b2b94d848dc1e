"""The deployment that a command talks to: the environment's, completed by the running local stack."""

import os
from contextlib import suppress

from shared.cli.errors import Unreachable
from shared.cli.failures import START
from shared.client import Client, Deployment
from shared.local.deployment import find_deployment, find_environment
from shared.local.settings import LocalSettings
from shared.runtime.settings import RuntimeSettings


def deployment() -> Deployment:
    """The deployment. Raises Unreachable when the environment names none and no local stack runs here."""
    found = find_deployment(LocalSettings())
    if found is None:
        raise Unreachable("no stack is running here", START)
    return found


def connect() -> Client:
    """A client, once broker and object store have both answered. Raises Unreachable, ClientError."""
    client = Client(deployment(), service_name="cli")
    client.check()
    return client


def locate() -> None:
    """Complete this process's environment as ``deployment`` would, for code that reads its variables.

    Raises Unreachable.
    """
    complete = find_environment(LocalSettings())
    if complete is None:
        raise Unreachable("no stack is running here", START)
    for name in os.environ.keys() - complete.keys():
        del os.environ[name]
    os.environ.update(complete)


def locate_store() -> None:
    """As ``locate``; without a stack here boto3 finds the object store and the credentials as it always does."""
    with suppress(Unreachable):
        locate()


def runtime_settings() -> RuntimeSettings:
    """The runtime's settings, from the environment."""
    return RuntimeSettings()
