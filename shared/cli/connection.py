"""The deployment that a command talks to: the environment's, completed by the running local stack."""

from shared.cli.errors import START, Unreachable
from shared.client import BrokerUnreachable, BucketUnusable, Client, Deployment, StoreUnreachable
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
    try:
        client.check()
    except BucketUnusable:
        raise
    except (BrokerUnreachable, StoreUnreachable) as e:
        # Later failures get no such hint: the deployment has answered.
        e.hint = e.hint or START
        raise
    return client
