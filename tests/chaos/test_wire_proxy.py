"""The proxy before the object store: unchanged without a fault, broken as each fault says."""

import os
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.chaos.wire_proxy import WireFault, WireProxy
from tests.conftest import Infrastructure

BUCKET = "lipstage-inputs"
DATA = os.urandom(300_000)


@pytest.fixture
def proxy(stack: Infrastructure) -> Iterator[WireProxy]:
    parts = urlsplit(stack.s3_endpoint_url)
    with WireProxy((str(parts.hostname), int(parts.port or 80))) as made:
        yield made


def client(proxy: WireProxy, limit_s: int) -> Any:
    config = Config(read_timeout=limit_s, connect_timeout=30, retries={"total_max_attempts": 1, "mode": "standard"},
                    response_checksum_validation="when_required", s3={"addressing_style": "path"})  # fmt: skip
    return boto3.client("s3", endpoint_url=proxy.url, config=config)


@pytest.fixture
def s3(proxy: WireProxy) -> Any:
    return client(proxy, 30)


@pytest.fixture
def key(s3: Any) -> str:
    name = f"wire/{uuid.uuid4().hex}"
    s3.put_object(Bucket=BUCKET, Key=name, Body=DATA)
    return name


def read(s3: Any, key: str) -> bytes:
    return bytes(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())


def test_without_a_fault_everything_passes_unchanged(s3: Any, key: str) -> None:
    assert read(s3, key) == DATA
    assert s3.head_object(Bucket=BUCKET, Key=key)["ContentLength"] == len(DATA)
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET, Prefix=key)["Contents"]] == [key]
    s3.delete_object(Bucket=BUCKET, Key=key)
    with pytest.raises(ClientError, match="NoSuchKey"):
        read(s3, key)


def test_busy_answers_are_as_many_as_asked_for(proxy: WireProxy, s3: Any, key: str) -> None:
    proxy.faults.append(WireFault("503", "GET", times=2))
    for _ in range(2):
        with pytest.raises(ClientError, match="503"):
            read(s3, key)
    assert read(s3, key) == DATA
    assert proxy.broken["503"] == 2


@pytest.mark.parametrize("kind", ["truncated body", "cut reply", "blackhole"])
def test_incomplete_answer_is_an_error_of_the_client(proxy: WireProxy, s3: Any, key: str, kind: Any) -> None:
    proxy.faults.append(WireFault(kind, "GET", f".*/{key}.*", times=1))
    with pytest.raises((BotoCoreError, ClientError)):
        read(client(proxy, 2), key)
    assert read(s3, key) == DATA


def test_one_byte_of_a_body_differs(proxy: WireProxy, s3: Any, key: str) -> None:
    proxy.faults.append(WireFault("flipped byte", "GET", times=1))
    got = read(s3, key)
    assert len(got) == len(DATA)
    assert sum(a != b for a, b in zip(got, DATA, strict=True)) == 1


def test_put_with_a_lost_answer_is_carried_out(proxy: WireProxy, s3: Any) -> None:
    name = f"wire/{uuid.uuid4().hex}"
    proxy.faults.append(WireFault("cut reply", "PUT", times=1))
    with pytest.raises((BotoCoreError, ClientError)):
        s3.put_object(Bucket=BUCKET, Key=name, Body=b"stored")
    assert read(s3, name) == b"stored"


def test_healed_proxy_breaks_nothing(proxy: WireProxy, s3: Any, key: str) -> None:
    proxy.faults.append(WireFault("503"))
    proxy.heal()
    assert read(s3, key) == DATA
