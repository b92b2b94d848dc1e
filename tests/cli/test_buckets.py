"""`lipstage buckets apply` on the real object store."""

import json
import uuid
from collections.abc import Callable

import boto3
import pytest
from botocore.stub import Stubber

from shared.local.ports import pick
from shared.storage.bucket import BucketRefused, ensure
from shared.storage.client import connect
from shared.storage.settings import StorageSettings
from tests.cli.conftest import Ran, alone
from tests.conftest import Infrastructure

Apply = Callable[..., Ran]


@pytest.fixture
def name() -> str:
    return f"b-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def apply(stack: Infrastructure, name: str) -> Apply:
    """The command as a process, for buckets that nothing else uses."""
    named = {key: value for key, value in stack.environment.items() if key.startswith(("KAFKA", "AWS", "OTEL"))}
    named |= {
        "LIPSTAGE_BUCKET": name,
        "LIPSTAGE_INPUT_BUCKETS": json.dumps({"inputs": f"{name}-in"}),
        "LIPSTAGE_OUTPUT_BUCKETS": json.dumps({"films": f"{name}-out"}),
    }
    return lambda *arguments, **more: alone("buckets", "apply", *arguments, **named | more)


def days(bucket: str) -> dict[str, int | None]:
    rules = boto3.client("s3").get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    return {rule["ID"]: rule.get("Expiration", {}).get("Days") for rule in rules}


def test_missing_buckets_are_created_with_their_rules_and_a_second_run_changes_nothing(apply: Apply, name: str) -> None:
    first = apply("--json")
    assert (first.code, first.json) == (
        0,
        {"created": [name, f"{name}-in", f"{name}-out"], "rules_changed": [name, f"{name}-in"]},
    )
    assert days(name)["lipstage-jobs"] == 60
    assert days(f"{name}-in") == {"lipstage-inputs": 60, "lipstage-uploads": None}
    again = apply()
    assert (again.code, again.out) == (0, "nothing to change\n")
    longer = apply(LIPSTAGE_RETENTION_JOBS_DAYS=90)
    assert (longer.code, longer.out.split()) == (0, ["BUCKET", "CHANGE", name, "lifecycle", "rules", "set"])
    assert days(name)["lipstage-jobs"] == 90


def test_refused_bucket_is_named(apply: Apply, name: str) -> None:
    ran = apply(AWS_SECRET_ACCESS_KEY="wrong")
    assert ran.code == 1
    assert f"the bucket {name} may not be used" in ran.err


def test_store_that_does_not_answer_is_unreachable(apply: Apply) -> None:
    (port,) = pick(1, set())
    ran = apply(AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{port}")
    assert ran.code == 3
    assert "AWS_ENDPOINT_URL_S3" in ran.err


def test_broker_need_not_answer(apply: Apply) -> None:
    assert apply(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1").code == 0


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        (
            [("head_bucket", 404, "404"), ("create_bucket", 409, "BucketAlreadyExists"), ("head_bucket", 403, "403")],
            "the bucket lipstage may not be used: it belongs to another owner",
        ),
        (
            [("head_bucket", 404, "404"), ("create_bucket", 403, "AccessDenied")],
            "the bucket lipstage does not exist, and these credentials may not create it: AccessDenied",
        ),
        ([("head_bucket", 301, "301")], "the bucket lipstage is in another region"),
    ],
)
def test_answers_of_a_store_with_other_owners(
    stack: Infrastructure, answers: list[tuple[str, int, str]], sentence: str
) -> None:
    """Names of buckets are global in Amazon S3; the store of the tests has one owner."""
    client = connect(StorageSettings(), attempts=1)
    with Stubber(client) as stub:
        for operation, status, code in answers:
            stub.add_client_error(operation, code, http_status_code=status)
        with pytest.raises(BucketRefused, match=sentence):
            ensure(client, StorageSettings())


def test_output_bucket_that_may_only_be_written_to_counts_as_existing(stack: Infrastructure) -> None:
    """HEAD of a bucket needs the right to list it; services only put objects there."""
    client = connect(StorageSettings(), attempts=1)
    settings = StorageSettings().model_copy(update={"input_buckets": {}, "output_buckets": {"films": "theirs"}})
    with Stubber(client) as stub:
        stub.add_client_error("head_bucket", "404", http_status_code=404, expected_params={"Bucket": settings.bucket})
        stub.add_response("create_bucket", {})
        stub.add_client_error("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration")
        stub.add_response("put_bucket_lifecycle_configuration", {})
        stub.add_client_error("head_bucket", "403", http_status_code=403, expected_params={"Bucket": "theirs"})
        done = ensure(client, settings)
        stub.assert_no_pending_responses()
    assert (done.created, done.rules_changed) == ((settings.bucket,), (settings.bucket,))


def test_refused_input_bucket_leaves_the_artifact_bucket_with_its_rules(stack: Infrastructure) -> None:
    client = connect(StorageSettings(), attempts=1)
    settings = StorageSettings().model_copy(update={"input_buckets": {"inputs": "theirs"}})
    with Stubber(client) as stub:
        stub.add_response("head_bucket", {}, {"Bucket": settings.bucket})
        stub.add_client_error("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration")
        stub.add_response("put_bucket_lifecycle_configuration", {})
        stub.add_client_error("head_bucket", "403", http_status_code=403, expected_params={"Bucket": "theirs"})
        with pytest.raises(BucketRefused, match="the bucket theirs may not be used"):
            ensure(client, settings)
        stub.assert_no_pending_responses()
