"""What becomes of a notice, in memory: for each answer and each fault its topic, its headers and its document."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from opentelemetry.trace import NoOpTracer
from structlog.testing import capture_logs

from shared.messages.codes import Code
from shared.messages.delivery_headers import read_delivery
from shared.messages.events import TERMINAL
from shared.messages.tiers import parse_tiers
from shared.messages.topics import DLQ, EVENTS, WEBHOOKS, retry_topic
from shared.messages.webhook import WebhookNotice
from shared.runtime.consume.assignment import PartitionAssignment, Record
from shared.runtime.failures import Abandoned, DeliveryFailed, ProducerFailed, RecordRefused
from shared.runtime.relay.destination import Destinations, returned_headers
from shared.storage import keys, markers
from shared.storage.errors import StoreUnavailable
from shared.storage.markers import RequestRecord
from stages.gateway.webhooks.delivering import Delivering
from stages.gateway.webhooks.endpoints import ALL_EVENTS, CLOCKS_MS, RACES, Endpoint, Endpoints, TooManyEndpoints
from stages.gateway.webhooks.fan_out import FanOut, may_end
from stages.gateway.webhooks.handling import Handling
from stages.gateway.webhooks.keyed_pool import KeyedPool
from stages.gateway.webhooks.repeating import Repeating
from stages.gateway.webhooks.sending import Answer
from stages.gateway.webhooks.signing import Signer
from tests.runtime.memory import MemoryDocuments, MemoryProducers

TIERS = parse_tiers(("10s", "1m"))
MAX_ATTEMPTS = 4
LIMIT_S = 30.0
EVENT = TERMINAL.validate_python(
    {"type": "failed", "job_id": "j", "tenant": "acme", "request_id": "r", "time_ms": 1 << 42, "stage": "face",
     "code": "INTERNAL", "message": "no"}
)  # fmt: skip


@dataclass
class Poster:
    """Answers every POST."""

    answer: Callable[[], Answer] = lambda: Answer(status=500)
    bodies: list[bytes] = field(default_factory=list)

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        assert url and headers["webhook-signature"]
        self.bodies.append(body)
        return self.answer()


class Rig:
    """The parts with stand-ins for broker, object store and endpoint."""

    def __init__(self) -> None:
        self.documents = MemoryDocuments([])
        self.producers = MemoryProducers([])
        self.endpoints = Endpoints(self.documents)
        self.poster = Poster()
        self.stop = threading.Event()
        self.failures: list[str] = []
        repeat = Repeating(self.stop)
        self.delivering = Delivering(
            self.endpoints,
            self.documents,
            self.poster,  # type: ignore[arg-type]
            Signer(["k" * 32]),
            self.producers,
            NoOpTracer(),
            repeat,
            prefix="",
            group="lipstage.webhooks",
            tiers=TIERS,
            max_attempts=MAX_ATTEMPTS,
        )
        self.fan_out = FanOut(self.endpoints, self.producers, WEBHOOKS, repeat)
        self.pool = KeyedPool(4, 1, 1)
        self.handling = Handling(self.fan_out, self.delivering, self.pool, "", self.failures.append)
        self.endpoint = Endpoint.new("https://example.com/", ALL_EVENTS, "")
        self.endpoints.add("acme", self.endpoint, 1)
        self.notice = WebhookNotice.of(EVENT, self.endpoint.id)

    def record(self) -> Record:
        notice = self.notice
        return Record(WEBHOOKS, 0, 7, b"j", notice.as_value(), notice.as_headers(), 1)

    def deliver(self, record: Record) -> None:
        self.delivering.deliver(record, self.notice, lambda: True)

    def sent(self) -> Record:
        """The last record that was sent."""
        topic, value, headers = self.producers.records[-1]
        return Record(topic, 0, 7, b"j", value, headers, 1)


@pytest.fixture
def rig() -> Iterator[Rig]:
    with capture_logs():  # To print a stack with its variables takes seconds.
        yield Rig()


def test_attempts_go_over_the_tiers_and_then_to_the_dead_letters(rig: Rig) -> None:
    record, topics = rig.record(), []
    for _ in range(MAX_ATTEMPTS):
        rig.deliver(record)
        record = rig.sent()
        topics.append(record.topic)
        if record.topic != DLQ:
            assert Destinations("").topic(record) == WEBHOOKS
            assert Destinations("").is_keyed(WEBHOOKS) and not Destinations("").is_of_engine(WEBHOOKS)
            # As the relay returns it.
            record = Record(WEBHOOKS, 0, 8, record.key, record.value, returned_headers(record), 1)
    assert topics == [retry_topic(TIERS[0]), retry_topic(TIERS[1]), retry_topic(TIERS[1]), DLQ]
    (dead,) = rig.producers.dead_letters()
    assert (dead["__dlq.errors.code"], dead["__dlq.errors.stage"]) == (b"WEBHOOK_FAILED", b"webhooks")
    assert (dead["__dlq.errors.job"], dead["__dlq.errors.tenant"]) == (b"j", b"acme")
    assert dead["__dlq.errors.delivery.count"] == b"4"
    assert len(set(rig.poster.bodies)) == 1


def test_nothing_is_sent_of_a_purged_render_nor_to_a_deleted_or_disabled_endpoint(rig: Rig) -> None:
    purged = RequestRecord(request_id="r", body_sha256="0" * 64, purged_ms=1)
    rig.documents.values[keys.request("acme", "j")] = purged.model_dump(mode="json")
    assert markers.read_request(rig.documents, "acme", "j") == purged
    rig.deliver(rig.record())
    del rig.documents.values[keys.request("acme", "j")]
    rig.endpoints.disable("acme", rig.endpoint.id, "why")
    rig.deliver(rig.record())
    assert rig.endpoints.remove("acme", rig.endpoint.id)
    rig.deliver(rig.record())
    assert (rig.poster.bodies, rig.producers.records) == ([], [])


def test_too_many_notices_of_one_endpoint_wait_on_the_first_tier_and_use_no_attempt(rig: Rig) -> None:
    release = threading.Event()
    rig.poster.answer = lambda: Answer(status=200 if release.wait(LIMIT_S) else 500)
    assignment = PartitionAssignment(WEBHOOKS, 0)
    for _ in range(3):  # One runs, one waits.
        rig.handling.submit(rig.record(), assignment)
    deferred = rig.handling.completions.get(timeout=LIMIT_S)
    assert deferred.settled
    record = rig.sent()
    delivery = read_delivery(record.headers)
    assert (record.topic, delivery.attempt, delivery.retries) == (retry_topic(TIERS[0]), 1, 0)
    release.set()
    assert all(rig.handling.completions.get(timeout=LIMIT_S).settled for _ in range(2))
    rig.handling.close()


def test_outages_are_waited_for_and_end_with_the_service(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[Exception] = [StoreUnavailable("away"), StoreUnavailable("away")]
    get = rig.documents.get

    def failing(key: str) -> object:
        if errors:
            raise errors.pop()
        return get(key)

    monkeypatch.setattr(rig.documents, "get", failing)
    monkeypatch.setattr("stages.gateway.webhooks.repeating.RETRY_S", 0.0)
    rig.poster.answer = lambda: Answer(status=204)
    rig.deliver(rig.record())
    assert (len(rig.poster.bodies), errors) == (1, [])
    rig.poster.answer = lambda: Answer(error="no answer")
    for error in (DeliveryFailed("away"), ProducerFailed("fatal")):
        rig.producers.errors[retry_topic(TIERS[0])] = error
        rig.stop.clear()
        assignment = PartitionAssignment(WEBHOOKS, 0)
        rig.handling.submit(rig.record(), assignment)
        if isinstance(error, ProducerFailed):
            assert not rig.handling.completions.get(timeout=LIMIT_S).settled
            assert rig.failures == ["ProducerFailed: fatal"]
        else:
            assignment.revoking = True
            assert not rig.handling.completions.get(timeout=LIMIT_S).settled
    rig.stop.set()
    with pytest.raises(Abandoned):
        rig.deliver(rig.record())


def test_a_record_that_the_broker_refuses_and_a_bug_become_dead_letters(rig: Rig) -> None:
    rig.producers.errors[retry_topic(TIERS[0])] = RecordRefused("too large")
    rig.deliver(rig.record())
    (dead,) = rig.producers.dead_letters()
    assert dead["__dlq.errors.code"] == Code.INTERNAL.encode()

    def broken() -> Answer:
        raise ZeroDivisionError("a bug")

    rig.poster.answer = broken
    rig.handling.submit(rig.record(), PartitionAssignment(WEBHOOKS, 0))
    assert rig.handling.completions.get(timeout=LIMIT_S).settled
    assert rig.producers.dead_letters()[1]["__dlq.errors.exception.class"] == b"ZeroDivisionError"
    assert rig.failures == []


def test_an_unreadable_document_of_endpoints_loses_no_other_tenants_notice(rig: Rig) -> None:
    rig.documents.values[keys.webhook_endpoints("beta")] = {"endpoints": [{"id": 7}]}
    for tenant in ("beta", "acme"):
        event = EVENT.model_copy(update={"tenant": tenant})
        headers = [("traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01")]
        value = event.model_dump_json(exclude_none=True).encode()
        rig.fan_out(Record(EVENTS, 0, 1, b"j", value, headers, 1), lambda: True)
    ((topic, value, headers),) = rig.producers.records
    assert (topic, dict(headers)["traceparent"]) == (WEBHOOKS, b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01")
    assert WebhookNotice.model_validate_json(value or b"").tenant == "acme"


def test_only_events_that_may_end_a_render_are_read() -> None:
    def event(*headers: tuple[str, bytes | None]) -> Record:
        return Record(EVENTS, 0, 1, b"j", b"", headers, 1)

    assert may_end(event()) and may_end(event(("ce_type", b"lipstage.event.done.v1")))
    assert not may_end(event(("ce_type", b"lipstage.event.progress.v1")))


def test_an_endpoint_is_told_only_of_what_it_asks_for_and_ends_after_it_was_registered(rig: Rig) -> None:
    one = rig.endpoint.model_copy(update={"events": ("done",), "created_ms": 10 * CLOCKS_MS})
    assert one.wants("done", 10 * CLOCKS_MS) and one.wants("done", 9 * CLOCKS_MS), "clocks differ"
    assert not one.wants("done", 8 * CLOCKS_MS) and not one.wants("failed", 10 * CLOCKS_MS)


def test_endpoints_that_are_registered_at_once_are_all_kept_up_to_the_limit(rig: Rig) -> None:
    replace = rig.documents.replace
    rivals = [Endpoint.new(f"https://example.com/{n}", ALL_EVENTS, "") for n in range(3)]
    waiting = list(rivals)

    def raced(key: str, expected: object, value: object) -> bool:
        if waiting:
            rival = waiting.pop()
            Endpoints(rig.documents).add("acme", rival, 100)
        return replace(key, expected, value)  # type: ignore[arg-type]

    rig.documents.replace = raced  # type: ignore[method-assign]
    mine = Endpoint.new("https://example.com/mine", ALL_EVENTS, "")
    rig.endpoints.add("acme", mine, 100)
    assert {one.id for one in rig.endpoints.of("acme")} == {one.id for one in (rig.endpoint, mine, *rivals)}
    assert len(rivals) < RACES
    with pytest.raises(TooManyEndpoints):
        rig.endpoints.add("acme", Endpoint.new("https://example.com/", ALL_EVENTS, ""), 5)
    rig.endpoints.add("acme", mine, 5)


def test_the_page_verifies_a_message_by_hand(rig: Rig) -> None:
    from datetime import UTC, datetime, timedelta

    page = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text()
    (code,) = [part.split("```")[0] for part in page.split("```python\n") if "is_genuine" in part]
    names: dict[str, Callable[[str, Mapping[str, str], bytes], bool]] = {}
    exec(code, names)
    signer = Signer(["n" * 32, "o" * 32])
    headers = signer.headers("acme", "wh_1", "msg_1", datetime.now(UTC), "{}")
    for secret in (signer.secret("acme", "wh_1"), Signer(["o" * 32]).secret("acme", "wh_1")):
        assert names["is_genuine"](secret, headers, b"{}")
    assert not names["is_genuine"](signer.secret("beta", "wh_1"), headers, b"{}")
    assert not names["is_genuine"](secret, headers, b"[]")
    late = signer.headers("acme", "wh_1", "msg_1", datetime.now(UTC) - timedelta(hours=1), "{}")
    assert not names["is_genuine"](secret, late, b"{}")
