"""A job id that a queued request has is found before another request under it is sent."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from shared.client import Client, JobConflict, request_log
from shared.client.connection import Connection
from shared.client.earlier_requests import RANDOM_ID
from shared.client.job_spec import new_job_id
from tests.client.services import Services


def sent(client: Client) -> int:
    return len(request_log.newest(client.connection, 1000))


def test_a_queued_request_is_repeated_or_in_conflict(
    deployment: Connection, client: Client, portrait: Path, speech: Path
) -> None:
    job = f"take-{uuid.uuid4().hex}"
    first = client.submit(client.job_spec(portrait, speech, job_id=job))
    again = client.submit(client.job_spec(portrait, speech, job_id=job))
    assert (again.is_repeat, again.request_id) == (True, first.request_id)
    with pytest.raises(JobConflict, match="nothing was sent"):
        client.submit(client.job_spec(portrait, speech, job_id=job, params={"seed": 3}))
    assert sent(client) == 1


def test_a_batch_reads_the_queue_once_and_a_fresh_id_never(
    client: Client, services: Services, portrait: Path, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, scan = list[int](), request_log._scan

    def counted(*arguments: Any) -> Any:
        reads.append(1)
        return scan(*arguments)

    monkeypatch.setattr(request_log, "_scan", counted)
    client.submit(client.job_spec(portrait, speech))
    assert reads == []
    manifest, batch = tmp_path / "jobs.csv", uuid.uuid4().hex
    manifest.write_text("portrait,speech\n" + "portrait.png,speech.wav\n" * 3)
    specs = client.batch(manifest, batch_id=batch)
    assert not any(one.is_repeat for one in client.submit_batch(specs))
    assert reads == [1]
    with Client(client.connection.deployment) as other:
        assert all(one.is_repeat for one in other.submit_batch(specs))
    assert reads == [1, 1]


def test_fresh_ids_are_recognised() -> None:
    assert all(RANDOM_ID.fullmatch(new_job_id()) for _ in range(100))
    assert RANDOM_ID.fullmatch(uuid.uuid5(uuid.NAMESPACE_URL, "row").hex) is None
