"""Three tenants on one partition: a refused object of one does not affect the others."""

import os
import uuid

from tests.pipeline.client import INPUTS, Client, body
from tests.pipeline.conftest import Pipeline, spoken, unseen_portrait, unseen_start
from tests.pipeline.test_kills import parent

PARTITION = 7


def encrypted(client: Client, data: bytes, tenant: str) -> str:
    """Upload an input that is encrypted with a customer's key; returns its key in the bucket."""
    key = f"{tenant}/{uuid.uuid4().hex}/input"
    client.s3.put_object(
        Bucket=INPUTS, Key=key, Body=data, SSECustomerAlgorithm="AES256", SSECustomerKey=os.urandom(32)
    )
    return key


def test_object_encrypted_with_a_customer_key_rejects_its_job_alone(client: Client, pipeline: Pipeline) -> None:
    audio = parent(pipeline, "audio")
    picture, speech = unseen_portrait(), spoken(0.4, unseen_start())
    poisoned, good = uuid.uuid4().hex, []
    for tenant in ("a", "b", "c"):
        portrait, voice = client.upload(picture, tenant), client.upload(speech, tenant)
        if tenant == "a":
            value = body(portrait, encrypted(client, speech, tenant), tenant=tenant)
            client.produce("render.requests", value, poisoned, partition=PARTITION)
        good.append(uuid.uuid4().hex)
        client.produce("render.requests", body(portrait, voice, tenant=tenant), good[-1], partition=PARTITION)
    assert [end.type for end in client.wait(good)] == ["done", "done", "done"]
    client.drain()
    (end,) = client.events[poisoned]
    assert (end.type, end.body["code"], end.body["field"]) == ("rejected", "INPUT_FORBIDDEN", "speech")
    assert "is encrypted with a customer's key" in end.body["message"]
    assert end.body["tenant"] == "a"
    assert parent(pipeline, "audio") == audio, "the same process continues"
