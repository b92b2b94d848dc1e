"""An external broker or object store beside local parts; the test session's parts serve as external ones."""

import pytest
from botocore.exceptions import ClientError

from shared.local import stack as local
from shared.local.doctor import doctor
from shared.local.errors import StackCode, StackError
from shared.local.settings import LocalSettings
from shared.local.status import status
from shared.storage import bucket
from shared.storage.errors import store_errors
from tests.cli.conftest import alone
from tests.conftest import Infrastructure

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def test_external_broker_with_local_object_store(own: LocalSettings, stack: Infrastructure) -> None:
    mixed = own.model_copy(update={"kafka_bootstrap_servers": stack.bootstrap_servers})
    started = local.up(mixed, services=False)
    assert {part.name for part in status(mixed)} == {"store", "traces"}
    assert started.s3_endpoint_url != stack.s3_endpoint_url
    assert {check.name for check in doctor(mixed) if check.level == "fail"} == set()
    for named in ({}, {"KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers}):
        ran = alone("config", "--env", LIPSTAGE_STATE_DIR=own.state, **named)
        assert f"export AWS_ENDPOINT_URL_S3={started.s3_endpoint_url}" in ran.out
        assert alone("jobs", LIPSTAGE_STATE_DIR=own.state, **named).code == 0


def test_external_object_store_with_local_broker(own: LocalSettings, stack: Infrastructure) -> None:
    mixed = own.model_copy(update={"s3_endpoint_url": stack.s3_endpoint_url})
    started = local.up(mixed, services=False)
    assert {part.name for part in status(mixed)} == {"broker", "traces"}
    keys = {name: stack.environment[name] for name in KEYS}
    ran = alone("jobs", LIPSTAGE_STATE_DIR=own.state, AWS_ENDPOINT_URL_S3=stack.s3_endpoint_url, **keys)
    assert (ran.code, ran.err) == (0, "no jobs yet\n")
    assert started.bootstrap_servers != stack.bootstrap_servers


def test_unreachable_external_part_is_reported_with_its_variable(own: LocalSettings, stack: Infrastructure) -> None:
    with pytest.raises(StackError, match=r"127\.0\.0\.1:1, named by KAFKA_BOOTSTRAP_SERVERS") as error:
        local.up(own.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"}), services=False)
    assert error.value.code == StackCode.BROKER_FAILED
    mixed = own.model_copy(update={"kafka_bootstrap_servers": stack.bootstrap_servers})
    with pytest.raises(StackError, match=r"named by AWS_ENDPOINT_URL_S3, does not answer") as error:
        local.up(mixed.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:1"}), services=False)
    assert error.value.code == StackCode.STORE_FAILED
    assert status(own) == []


def test_external_store_that_refuses_is_one_line(
    own: LocalSettings, stack: Infrastructure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    mixed = own.model_copy(
        update={"kafka_bootstrap_servers": stack.bootstrap_servers, "s3_endpoint_url": stack.s3_endpoint_url}
    )
    with pytest.raises(StackError, match="answers 403 for the bucket lipstage") as error:
        local.up(mixed, services=False)
    assert error.value.code == StackCode.STORE_FAILED


def test_external_store_without_right_to_create_buckets_is_one_line(
    own: LocalSettings, stack: Infrastructure, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        with store_errors("preparing the buckets"):
            answer = {"ResponseMetadata": {"HTTPStatusCode": 403}, "Error": {"Code": "AccessDenied"}}
            raise ClientError(answer, "CreateBucket")  # type: ignore[arg-type]

    monkeypatch.setattr(bucket, "ensure", refuse)
    mixed = own.model_copy(
        update={"kafka_bootstrap_servers": stack.bootstrap_servers, "s3_endpoint_url": stack.s3_endpoint_url}
    )
    with pytest.raises(
        StackError, match="403 AccessDenied; the credentials must be allowed to create buckets"
    ) as error:
        local.up(mixed, services=False)
    assert error.value.code == StackCode.STORE_FAILED
