"""The deployment that a command talks to: the environment's, completed by the running local stack."""

from shared.cli.errors import Unreachable
from shared.cli.failures import START
from shared.client import Client, Deployment
from shared.local.deployment import find_deployment
from shared.local.settings import LocalSettings


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
