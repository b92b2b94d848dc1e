import pytest

from shared.client import Deployment, S3Access
from shared.local import weights_inventory


def test_store_of_weights_is_the_deployments_with_the_services_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client of a probe has one short attempt; weights are downloads of gigabytes."""
    s3 = S3Access("http://127.0.0.1:1", "eu-west-3", "key", "secret")
    monkeypatch.setattr(weights_inventory, "find_deployment", lambda _: Deployment(s3=s3))
    store = weights_inventory.object_store()
    assert store.endpoint_url == "http://127.0.0.1:1"
    meta = store.client.meta
    assert (meta.endpoint_url, meta.region_name) == ("http://127.0.0.1:1", "eu-west-3")
    assert (meta.config.retries["total_max_attempts"], meta.config.read_timeout) == (4, 10.0)


def test_store_that_the_environment_names_is_used_where_no_stack_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_inventory, "find_deployment", lambda _: Deployment())
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:2")
    store = weights_inventory.object_store()
    assert (store.endpoint_url, store.client.meta.endpoint_url) == ("http://127.0.0.1:2",) * 2
