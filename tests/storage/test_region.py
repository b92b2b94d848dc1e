"""The region of requests and of new buckets: AWS_REGION first, then what boto3 itself reads."""

from pathlib import Path

import pytest
from botocore.stub import Stubber

from shared.local import addresses, stack_file
from shared.local.settings import LocalSettings
from shared.storage.bucket import ensure
from shared.storage.client import S3Access, connect
from shared.storage.settings import StorageSettings


@pytest.fixture(autouse=True)
def nothing_named(settings: StorageSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable, and a configuration file with two profiles."""
    file = tmp_path / "config"
    file.write_text("[profile plain]\noutput = json\n[profile far]\nregion = ap-south-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        ({}, "us-east-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-3"),
        ({"AWS_REGION": "eu-central-1"}, "eu-central-1"),
        ({"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-west-3", "AWS_PROFILE": "far"}, "eu-central-1"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-3"),
        ({"AWS_PROFILE": "far"}, "ap-south-1"),
        ({"AWS_PROFILE": "plain"}, "us-east-1"),
    ],
)
def test_client_and_local_stack_take_the_first_region_that_is_named(
    variables: dict[str, str], region: str, settings: StorageSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert connect(settings).meta.region_name == region
    named = stack_file.fresh(tmp_path)
    addresses.mark_own(LocalSettings(s3_endpoint_url="https://s3.example"), named)
    assert named.region == region, "that of an object store of the user's own"


def test_region_of_the_access_is_that_of_the_client(settings: StorageSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert connect(settings, access=S3Access(region="sa-east-1")).meta.region_name == "sa-east-1"
    assert S3Access().session().client("sts").meta.region_name == "eu-central-1", "credentials come from there, too"


def test_new_bucket_is_made_in_the_named_region(settings: StorageSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    client = connect(settings, attempts=1)
    named = settings.model_copy(update={"input_buckets": {}, "output_buckets": {}})
    with Stubber(client) as stub:
        stub.add_client_error("head_bucket", "404", http_status_code=404)
        location = {"Bucket": settings.bucket, "CreateBucketConfiguration": {"LocationConstraint": "eu-central-1"}}
        stub.add_response("create_bucket", {}, location)
        stub.add_client_error("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration")
        stub.add_response("put_bucket_lifecycle_configuration", {})
        assert ensure(client, named).created == (settings.bucket,)
