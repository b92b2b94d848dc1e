"""Who may do what: each row of the table in docs/tenants.md, in each mode, on a real broker."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from pydantic_core import from_json
from structlog.testing import capture_logs

from shared.messages.cancel import CancelCommand
from shared.messages.tenant_topics import subscription, takes_cancels
from shared.messages.topics import CANCEL, REQUEST_TOPICS
from shared.runtime.consume.assignment import Record
from shared.runtime.consume.cancellations import Cancellations
from shared.runtime.kafka_config import reader_config
from shared.runtime.settings import RuntimeSettings
from shared.runtime.tenant_check import TenantCheck, permits_cancel
from tests.conftest import apply_topics
from tests.runtime.memory_stage import FRONT, MemoryStage
from tests.runtime.test_consumer_loop import Member
from tests.runtime.test_positions import until
from tests.tenancy.page import table
from tests.tenancy.senders import SERVICE_KEYS, Sent, record

MODES = ("open", "single", "topic", "signed")
MATRIX = table("matrix")
TAKEN, NOT_READ = "taken", "not read"


def _is_of_tenant(prefix: str) -> Callable[[str], bool]:
    """Whether a topic of this deployment takes cancel commands; the broker has those of other deployments, too."""
    return lambda name: name.startswith(prefix) and takes_cancels(name.removeprefix(prefix))


@dataclass
class Front:
    """What audio does with requests and cancel commands: with the real broker, and an object store in memory."""

    settings: RuntimeSettings
    scratch: Path
    sent: list[tuple[str, Sent]] = field(default_factory=list)

    def __post_init__(self) -> None:
        tenancy, prefix = self.settings.tenancy, self.settings.topic_prefix
        apply_topics(self.settings, ("acme", "beta") if tenancy == "topic" else ())
        keys = SERVICE_KEYS if tenancy == "signed" else ()
        self.rig = MemoryStage(
            FRONT, self.scratch, keys=keys, **self.settings.model_dump(exclude={"free_space_reserve_mb"})
        )
        permits = permits_cancel(TenantCheck(self.settings, keys))
        self.decided: dict[str, bool] = {}

        def noted(one: Record, named: str | None, job: str) -> bool:
            self.decided[job] = permits(one, named, job)
            return self.decided[job]

        self.cancellations = Cancellations(
            Consumer(reader_config(self.settings, "test", f"{prefix}cancel")),
            self.settings.topic(CANCEL),
            also=_is_of_tenant(prefix) if tenancy == "topic" else None,
            permits=noted,
        )
        self.topics = [subscription(prefix)] if tenancy == "topic" else list(map(self.settings.topic, REQUEST_TOPICS))

    def send(self, topic: str, one: Sent) -> None:
        self.sent.append((topic, one))

    def produce(self) -> None:
        producer = Producer({"bootstrap.servers": self.settings.bootstrap_servers})
        for topic, one in self.sent:
            producer.produce(self.settings.topic(topic), one.value, one.key, headers=one.headers)
        assert producer.flush(30) == 0

    def take(self, requests: int) -> None:
        """Let the front take this many requests, of whichever topic."""
        (first, *more), group = self.topics, f"{self.settings.topic_prefix}group"
        member = Member(self.settings, first, group, "consumer", 100, more_topics=tuple(more))
        try:
            for number in range(1, requests + 1):
                one, assignment = member.wait(number)
                self.rig.processor.handle(one, assignment, self.rig.worker)
                member.release(one, assignment)
        finally:
            member.close()

    def outcome(self, one: Sent) -> str:
        """What became of a request: taken, or the code of its rejection."""
        for event in self.events():
            if event["type"] == "accepted" and event["job_id"] == one.job:
                return TAKEN
            if event["type"] == "rejected" and one.job in (event["job_id"], *event["message"].rstrip(".").split()):
                return str(event["code"])
        raise AssertionError(f"no event of {one}")

    def events(self) -> Iterator[dict[str, Any]]:
        for topic, value, _ in self.rig.producers.records:
            if "render.events" in topic:
                yield {"topic": topic.removeprefix(self.settings.topic_prefix), **from_json(value or b"")}


@pytest.fixture
def front(topic_prefix: str, tmp_path: Path) -> Callable[[str], Front]:
    def made(mode: str) -> Front:
        small: dict[str, Any] = {"work_partitions": 1, "tenant_partitions": 1, "retry_tiers": ("10s",)}
        return Front(RuntimeSettings(topic_prefix=topic_prefix, tenancy=mode, tenant="acme", **small), tmp_path)

    return made


def read_in(mode: str, topic: str) -> bool:
    """Whether services read the topic in this mode."""
    return mode == "topic" or topic in (*REQUEST_TOPICS, CANCEL)


@pytest.mark.parametrize("mode", MODES)
def test_requests_are_taken_or_refused_as_the_page_says(front: Callable[[str], Front], mode: str) -> None:
    rows = [row for row in MATRIX if "request" in row["the sender sends"]]
    deployment = front(mode)
    expected: list[tuple[Sent, str]] = []
    for row in rows:
        assert (row[mode] == NOT_READ) == (not read_in(mode, row["to"])), row
        if row[mode] != NOT_READ:
            one = record(row["the sender sends"], uuid.uuid4().hex)
            deployment.send(row["to"], one)
            expected.append((one, row[mode]))
    deployment.produce()
    deployment.take(len(expected))
    assert [deployment.outcome(one) for one, _ in expected] == [cell for _, cell in expected]
    for event in deployment.events():
        if event["type"] == "rejected" and event["code"].startswith("TENANT_"):
            assert event["job_id"] == event["request_id"], "it ends no job"
            assert event["tenant"] in ("acme", "unverified"), "nothing shows up among the jobs of the tenant named"
    if mode == "topic":
        topics = {event["topic"]: event["tenant"] for event in deployment.events()}
        assert topics == {"render.events.acme": "acme", "render.events": "unverified"}
    named = " ".join(map(str, deployment.rig.store.documents.values))
    assert ("/beta/" in named) == (mode == "open"), "nothing is stored for the tenant that was named"


@pytest.mark.parametrize("mode", MODES)
def test_cancel_commands_are_obeyed_or_refused_as_the_page_says(front: Callable[[str], Front], mode: str) -> None:
    rows = [row for row in MATRIX if "request" not in row["the sender sends"]]
    deployment = front(mode)
    expected: list[tuple[Sent, str]] = []
    for row in rows:
        assert (row[mode] == NOT_READ) == (not read_in(mode, row["to"])), row
        if row[mode] != NOT_READ:
            one = record(row["the sender sends"], uuid.uuid4().hex)
            if one.value is None:  # What it revokes is in force.
                for tenant in (one.tenant,) if one.tenant else ("acme", "beta"):
                    deployment.cancellations._apply(CancelCommand(tenant, one.job))
            deployment.send(row["to"], one)
            expected.append((one, row[mode]))
    deployment.produce()
    with capture_logs() as lines:
        deployment.cancellations.start()
        try:
            until(lambda: len(deployment.decided) == len(expected), "every command to be read")
        finally:
            deployment.cancellations.close()
    codes = {line["named_job"]: line["code"] for line in lines if line["event"] == "tenant_refused"}
    assert [codes.get(one.job, TAKEN) for one, _ in expected] == [cell for _, cell in expected]
    for one, cell in expected:
        cancelled = [t for t in ("acme", "beta") if deployment.cancellations.has(t, one.job)]
        named = [one.tenant] if one.tenant else ["acme", "beta"]
        has_effect = cell == TAKEN
        assert cancelled == (named if has_effect == (one.value is not None) else []), (one, cell)


def test_page_has_a_row_for_every_topic_and_both_tenants() -> None:
    requests = [(row["to"], "beta" in row["the sender sends"]) for row in MATRIX]
    for topic in (*REQUEST_TOPICS, "render.requests.acme", "render.requests.acme.bulk", CANCEL, "render.cancel.acme"):
        assert {(topic, False), (topic, True)} <= set(requests), topic
