"""Requests that go on in the bulk lane, and the lane of the tasks that follow. Without a broker."""

from pathlib import Path
from typing import Any

import pytest

from shared.messages.delivery_headers import read_delivery
from shared.messages.task import RenderTask
from shared.runtime.consume.assignment import Record
from shared.runtime.failures import TopicMissing
from shared.runtime.process import forwarding
from shared.runtime.process.tenant_quota import WINDOW_S, TenantQuota
from shared.runtime.trace_context import of_request
from tests.runtime.memory import MemoryProducers
from tests.runtime.memory_stage import FACE, FRONT, MemoryStage
from tests.runtime.test_front import request_body

REQUESTS, BULK = "render.requests", "render.requests.bulk"
TRACE = ("traceparent", b"00-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-01")


def of_tenant(tenant: str) -> bytes:
    return request_body(tenant=tenant).replace(b"default/x", f"{tenant}/x".encode())


def send(rig: MemoryStage, value: bytes, topic: str = REQUESTS, key: str | None = None, **record: Any) -> None:
    headers = record.pop("headers", [("x", b"1"), TRACE])
    one = Record(topic, 3, record.pop("offset", 41), key.encode() if key else None, value, headers, 5_000_000_000_000)
    rig.processor.handle(one, rig.assignment, rig.worker)


def topics(rig: MemoryStage) -> list[str]:
    return [topic for topic, _, _ in rig.producers.records]


def test_bulk_request_on_the_interactive_topic_is_sent_on_unchanged_and_does_nothing_else(tmp_path: Path) -> None:
    rig, body = MemoryStage(FRONT, tmp_path), request_body(lane="bulk")
    send(rig, body)
    ((topic, value, headers),) = rig.producers.records
    assert (topic, value) == (BULK, body)
    assert list(headers)[:2] == [("x", b"1"), TRACE], "the sender's trace, and no second one"
    delivery = read_delivery(headers)
    assert (str(delivery.origin), delivery.origin_ms) == ("render.requests/3/41", 5_000_000_000_000)
    assert rig.store.documents.values == {}
    assert rig.worker.runs == 0


def test_job_id_of_a_request_without_one_is_that_of_its_first_record(tmp_path: Path) -> None:
    plain, moved, body = MemoryStage(FRONT, tmp_path), MemoryStage(FRONT, tmp_path), request_body(lane="bulk")
    send(plain, body, BULK, headers=[("lipstage-origin", b"render.requests/3/41")])
    send(moved, body)
    ((topic, value, headers),) = moved.producers.records
    send(moved, value or b"", topic, headers=headers, offset=0)
    (one,), (other,) = plain.producers.tasks("render.face.bulk"), moved.producers.tasks("render.face.bulk")
    assert (one.job_id, one.request_id) == (other.job_id, other.request_id)


def test_sender_of_a_request_that_was_passed_on_is_still_its_sender(tmp_path: Path) -> None:
    rig = MemoryStage(FRONT, tmp_path)
    send(rig, request_body(lane="bulk"))
    ((_, value, headers),) = rig.producers.records
    (link,) = of_request(Record(BULK, 0, 0, None, value, headers, 1), trusted=True).links
    assert link.attributes is not None
    assert link.attributes["link.kind"] == "sender"


@pytest.mark.parametrize(
    ("topic", "lane", "next_topic"),
    [
        (REQUESTS, "interactive", "render.face"),
        (BULK, "bulk", "render.face.bulk"),
        (BULK, "interactive", "render.face.bulk"),
    ],
)
def test_tasks_stay_in_the_lane_of_the_request(tmp_path: Path, topic: str, lane: str, next_topic: str) -> None:
    rig = MemoryStage(FRONT, tmp_path)
    send(rig, request_body(lane=lane), topic)
    (task,) = rig.producers.tasks(next_topic)
    assert task.lane == task.effective_lane == ("bulk" if topic == BULK else "interactive")


@pytest.mark.parametrize(
    ("lane", "topic"), [("bulk", "render.infer.puppet.bulk"), ("interactive", "render.infer.puppet")]
)
def test_task_of_a_version_without_lanes_goes_on_in_the_lane_of_its_request(
    tmp_path: Path, lane: str, topic: str
) -> None:
    rig = MemoryStage(FACE, tmp_path)
    rig.claim_request()
    old = rig.task(lane=lane).model_dump_json(exclude={"lane"}).encode()
    assert b'"lane":null' not in old
    rig.handle(old)
    assert topics(rig).count(topic) == 1


def test_demoted_request_keeps_its_lane_through_a_version_that_ignores_it() -> None:
    rig_task = RenderTask.parse(
        b'{"job_id": "j", "request_id": "r", "submitted_ms": 1, "lane": "bulk", "request": '
        + request_body(lane="interactive") + b"}"
    )  # fmt: skip
    assert rig_task.effective_lane == "bulk"
    assert RenderTask.parse(rig_task.dump()).effective_lane == "bulk"


def test_tenant_over_its_quota_goes_on_in_the_bulk_lane(tmp_path: Path) -> None:
    rig = MemoryStage(FRONT, tmp_path, tenant_quota=2)
    for offset, tenant in enumerate(["a", "a", "a", "b"]):
        send(rig, of_tenant(tenant), offset=offset)
    assert topics(rig).count("render.face") == 3
    (moved,) = [value for topic, value, _ in rig.producers.records if topic == BULK]
    assert moved == of_tenant("a")


def test_retry_of_an_admitted_request_is_not_passed_on(tmp_path: Path) -> None:
    rig = MemoryStage(FRONT, tmp_path, tenant_quota=1)
    send(rig, request_body(), key="first")
    retried = [("lipstage-origin", b"render.requests/3/9"), ("lipstage-attempt", b"2")]
    send(rig, request_body(), key="first", headers=retried, offset=9)
    assert topics(rig).count("render.face") == 2
    send(rig, request_body(), key="second", headers=retried, offset=10)
    assert topics(rig).count("render.face") == 2, "the header of a first request admits nothing"
    assert topics(rig).count(BULK) == 1


def test_quota_counts_a_request_once_and_within_its_window() -> None:
    now = [0.0]
    quota = TenantQuota(2, lambda: now[0])
    assert [quota.takes("a", "1"), quota.takes("a", "2"), quota.takes("a", "3")] == [True, True, False]
    assert quota.takes("a", "1"), "a redelivery"
    assert quota.takes("b", "1")
    now[0] = WINDOW_S
    assert quota.takes("a", "3")
    assert all(TenantQuota(0).takes("a", str(number)) for number in range(10))


def test_bulk_job_goes_on_in_the_interactive_lane_where_the_bulk_topics_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that runs before `topics apply` must not end with the first bulk request."""

    def partitions(_: MemoryProducers, topic: str) -> int:
        if topic.endswith(".bulk"):
            raise TopicMissing(topic)
        return 1

    monkeypatch.setattr(forwarding, "METADATA_RETRY_S", 0.0)
    monkeypatch.setattr(MemoryProducers, "partitions", partitions)
    rig = MemoryStage(FRONT, tmp_path)
    send(rig, request_body(lane="bulk"))
    (task,) = rig.producers.tasks("render.face")
    assert task.effective_lane == "bulk", "it comes back to its lane where the topic is there"
    assert rig.worker.runs == 1


def test_without_lanes_a_bulk_job_goes_on_in_the_interactive_lane(tmp_path: Path) -> None:
    """As with the classic group protocol, whose assignors may give a replica the partitions of one lane only."""
    rig = MemoryStage(FRONT, tmp_path, lanes=False)
    send(rig, request_body(lane="bulk"))
    assert len(rig.producers.tasks("render.face")) == 1
    assert BULK not in topics(rig)
