"""`lipstage quota` on the real object store."""

import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.storage import usage
from shared.storage.client import connect
from shared.storage.documents import DocumentStore
from shared.storage.settings import StorageSettings
from tests.cli.conftest import Ran, alone
from tests.conftest import Infrastructure

Quota = Callable[..., Ran]


@pytest.fixture
def tenant() -> str:
    return f"t-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def quota(stack: Infrastructure, tmp_path: Path, tenant: str) -> Quota:
    """The command as a process, with quotas of one tenant."""
    path = tmp_path / "quotas.json"
    path.write_text(json.dumps({"tenants": {tenant: {"jobs_in_flight": 3, "speech_s_per_hour": 100}}}))
    return lambda *arguments: alone("quota", *arguments, **stack.environment, LIPSTAGE_QUOTAS_FILE=path)


def test_usage_limits_and_the_reset_are_shown(quota: Quota, tenant: str, stack: Infrastructure) -> None:
    documents = DocumentStore(connect(StorageSettings()), StorageSettings())
    now_ms = time.time_ns() // 1_000_000
    usage.admit(documents, tenant, "job", 3, now_ms)
    for hour_ms in (now_ms, now_ms + 3_600_000):  # The hour may end before the command reads it.
        usage.charge(documents, tenant, usage.hour_of(hour_ms), "job", "speech_s_per_hour", 12.5, 100)
    shown = quota(tenant)
    assert shown.code == 0, shown.err
    rows = [line.split() for line in shown.out.splitlines()]
    assert rows[0][:4] == ["TENANT", "QUOTA", "USED", "LIMIT"]
    assert rows[1] == [tenant, "jobs_in_flight", "1", "3", "2", "-"]
    assert rows[2][:5] == [tenant, "speech_s_per_hour", "12.5", "100", "87.5"]
    assert rows[3] == [tenant, "pixels_per_hour", "-", "unlimited", "-", "-"]
    states = [json.loads(line) for line in quota("--json").out.splitlines()]
    mine = {state["quota"]: state for state in states if state["tenant"] == tenant}
    assert (mine["speech_s_per_hour"]["used"], mine["speech_s_per_hour"]["limit"]) == (12.5, 100)
    assert mine["speech_s_per_hour"]["resets_ms"] > now_ms


def test_file_that_cant_be_read_is_named(quota: Quota, tmp_path: Path) -> None:
    (tmp_path / "quotas.json").write_text("{")
    shown = quota()
    assert shown.code != 0
    assert "LIPSTAGE_QUOTAS_FILE" in shown.err
