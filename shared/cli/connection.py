"""The deployment that a command talks to: the environment's, completed by the running local stack."""

import os
from typing import TYPE_CHECKING

from shared.cli import console
from shared.cli.errors import START, Unreachable
from shared.client.broker_check import BrokerCheck
from shared.client.deployment import Deployment
from shared.client.errors import BrokerUnreachable, BucketUnusable, StoreUnreachable
from shared.local.deployment import find_deployment
from shared.local.settings import LocalSettings

if TYPE_CHECKING:
    from shared.client.client import Client

NO_STORE = "no object store is named: set AWS_ENDPOINT_URL_S3, or the credentials of Amazon S3 (AWS_ACCESS_KEY_ID, ...)"


def deployment() -> Deployment:
    """The deployment.

    Raises Unreachable when the environment names none and no local stack runs here, InvalidSettings when it names half
    of one.
    """
    found = find_deployment(LocalSettings())
    if found is None:
        raise Unreachable("no stack is running here", START)
    return found


def connect(*, store: bool = True) -> "Client":
    """A client, once the broker has answered and, with ``store``, the object store: what reads only topics must work
    while the object store is away. Raises Unreachable, InvalidSettings, ClientError.
    """
    found = deployment()
    try:
        with BrokerCheck(found.runtime) as broker:
            # The client's libraries are loaded while the broker answers another process.
            from shared.client.client import Client

            client = Client(found, service_name="cli", on_fallback=_note_fallback)
            broker.result()
        if store:
            client.connection.check_store()
    except BucketUnusable:
        raise
    except StoreUnreachable as e:
        # Without an endpoint boto3 turns to Amazon S3, which was hardly meant.
        named = found.s3.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        e.hint = e.hint or (START if named else NO_STORE)
        raise
    except BrokerUnreachable as e:
        # Later failures get no such hint: the deployment has answered.
        e.hint = e.hint or START
        raise
    return client


def _note_fallback(reason: str) -> None:
    console.note(f"{reason}; the newest events are read instead")
