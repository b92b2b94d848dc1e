"""A job's events are followed wherever and whenever they are written, until its terminal event."""

import json
import uuid

import pytest

from shared.client import Client, JobKey, WaitTimeout, event_log, event_reader
from shared.client.connection import Connection
from shared.client.event_log import event_of
from shared.client.event_reader import EventReader
from shared.client.follow import follow
from shared.messages.events import AnyEvent, RejectedEvent
from shared.storage import markers
from tests.client.services import Services
from tests.conftest import FEW

PARTITIONS = FEW
LONG_S = 60.0
FAILED = {"stage": "infer", "code": "CRASH_LOOP", "message": "m"}


def job() -> JobKey:
    return JobKey("default", uuid.uuid4().hex)


def kinds(events: list[AnyEvent]) -> list[str]:
    return [event.type for event in events]


def test_events_on_partitions_that_are_added_later_are_followed(deployment: Connection, services: Services) -> None:
    mine = job()
    following = follow(deployment, mine, event_log.end(deployment), timeout_s=LONG_S)
    services.event("accepted", mine.job_id, engine="puppet")
    assert next(following).type == "accepted"
    services.grow("render.events", PARTITIONS + 4)
    # Written before the follower has noticed the partition.
    services.event("started", mine.job_id, stage="infer", partition=PARTITIONS + 3)
    assert next(following).type == "started"
    services.event("failed", mine.job_id, **FAILED, partition=PARTITIONS)
    assert kinds(list(following)) == ["failed"]


@pytest.mark.parametrize("partition", [0, 2, PARTITIONS - 1])
def test_events_are_found_whatever_partitioner_sent_them(
    deployment: Connection, client: Client, services: Services, partition: int
) -> None:
    mine = job()
    start = event_log.end(deployment)
    services.event("accepted", mine.job_id, engine="puppet", partition=partition)
    services.event("failed", mine.job_id, **FAILED, partition=partition)
    assert kinds(list(follow(deployment, mine, start, timeout_s=LONG_S))) == ["accepted", "failed"]
    assert client.job(mine).status == "failed"
    assert [state.job_id for state in client.jobs()] == [mine.job_id]


def test_a_missed_terminal_event_is_read_from_the_object_store(deployment: Connection, services: Services) -> None:
    mine = job()
    following = follow(deployment, mine, event_log.end(deployment), timeout_s=LONG_S)
    services.event("accepted", mine.job_id, engine="puppet")
    assert next(following).type == "accepted"
    terminal = RejectedEvent(
        **{"job_id": mine.job_id, "tenant": "default", "request_id": "r", "time_ms": 1},
        **{"stage": "audio", "code": "AUDIO_EMPTY", "message": "No samples."},
    )
    other = terminal.model_copy(update={"tenant": "acme", "message": "theirs"})
    markers.claim_end(deployment.documents, "acme", mine.job_id, other)
    markers.claim_end(deployment.documents, "default", mine.job_id, terminal)
    assert list(following) == [terminal]


def test_a_stalled_partition_is_read_by_a_new_kafka_client(
    deployment: Connection, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As librdkafka may stop fetching one when a broker comes back; only that state is invented here."""
    mine = job()
    reader = EventReader(deployment, event_log.end(deployment))
    services.event("accepted", mine.job_id, engine="puppet")

    def read() -> AnyEvent:
        while True:
            if (message := reader.poll(0.2)) is not None:
                event = event_of(mine, message.key(), message.value())
                assert event is not None
                return event

    assert read().type == "accepted"
    monkeypatch.setattr(event_reader, "STALL_S", -1.0)
    before = reader._consumer
    reader._stalls = event_reader.FetchStallDetector(-1.0)
    stalled = {"desired": True, "fetch_state": "validate-epoch-wait"}
    reader._on_statistics(json.dumps({"topics": {reader._topic: {"partitions": {"0": stalled}}}}))
    monkeypatch.undo()
    services.event("started", mine.job_id, stage="face")
    assert read().type == "started", "and no event is read twice"
    assert reader._consumer is not before
    reader.close()


def test_waiting_ends_after_the_time_given_and_the_job_continues(client: Client, services: Services) -> None:
    mine = job()
    services.event("accepted", mine.job_id, engine="puppet")
    with pytest.raises(WaitTimeout, match="continues"):
        client.wait(mine, timeout_s=0.5)
    services.event("failed", mine.job_id, **FAILED)
    assert client.wait(mine, timeout_s=LONG_S).type == "failed"


def test_silence_is_reported_once(deployment: Connection, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.client.follow.SILENCE_S", 0.0)
    mine, reports = job(), list[str]()

    def report() -> None:
        reports.append("silent")
        services.event("failed", mine.job_id, **FAILED)

    start = event_log.end(deployment)
    assert kinds(list(follow(deployment, mine, start, timeout_s=LONG_S, on_silence=report))) == ["failed"]
    assert reports == ["silent"]
