"""A record that can't be sent back, while broker or object store fail: it is a dead letter once, and its job ends."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN
from prometheus_client import REGISTRY

from shared.messages.codes import Code
from shared.messages.events import Failed
from shared.messages.refs import InputRef
from shared.messages.request import Params, RenderRequest
from shared.messages.task import RenderTask
from shared.runtime.consume.assignment import Record
from shared.runtime.disposition import FailureReason
from shared.runtime.failures import ProducerFailed
from shared.runtime.process.decoding import TaskDecoder
from shared.runtime.relay import refusals as module
from shared.runtime.relay.refusals import Refusals
from shared.runtime.settle.event_publisher import EventPublisher
from shared.runtime.settle.render_summary import RenderSummary
from shared.storage import markers
from shared.storage.errors import StoreUnavailable
from shared.telemetry import pseudonyms, tracing
from tests.runtime.memory import MemoryProducers, MemoryStorage

REASON = FailureReason(Code.INTERNAL, "failed", "too large", "RecordRefused")
REQUEST = RenderRequest(portrait=InputRef(key="acme/x"), speech=InputRef(key="acme/x"), tenant="acme", job_id="j")
SUBMITTED_MS = 1_700_000_000_000
VALUE = REQUEST.model_dump_json(exclude_none=True).encode()


class Rig:
    def __init__(self) -> None:
        self.store = MemoryStorage([])
        self.producers = MemoryProducers([])
        self.spans = InMemorySpanExporter()
        self.tracing = tracing.setup("relay", "0", self.spans)
        documents = self.store.documents
        events = EventPublisher("relay", "", self.producers, documents)
        self.refusals = Refusals(
            "group",
            "",
            self.producers,
            events,
            TaskDecoder(documents),
            documents,
            self.store.artifacts,
            RenderSummary(self.tracing.tracer),
        )

    def refuse(self, value: bytes, target: bytes = b"render.face") -> None:
        headers: list[tuple[str, bytes | None]] = [
            ("lipstage-attempt", b"3"),
            ("lipstage-retry-topic", target),
            ("lipstage-origin", b"render.requests/1/2"),
            ("lipstage-origin-time", str(SUBMITTED_MS).encode()),
        ]
        record = Record("render.retry.1s", 0, 7, b"j", value, headers, SUBMITTED_MS + 60_000)
        self.refusals.refuse(record, REASON, INVALID_SPAN).result(60)

    def claim(self, tenant: str, value: bytes = VALUE) -> None:
        own = markers.RequestRecord(request_id="r", body_sha256=hashlib.sha256(value).hexdigest())
        markers.claim_request(self.store.documents, tenant, "j", own)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    made = Rig()
    yield made
    made.refusals.close()


def failing(monkeypatch: pytest.MonkeyPatch, name: str, times: int = 2) -> None:
    """Let a function of the markers fail so many times."""
    works: Callable[..., Any] = getattr(markers, name)
    errors = iter([StoreUnavailable("503")] * times)

    def function(*arguments: Any, **named: Any) -> Any:
        for error in errors:
            raise error
        return works(*arguments, **named)

    monkeypatch.setattr(markers, name, function)


@pytest.mark.parametrize("name", ["read_request", "claim_end"])
@pytest.mark.parametrize("readable", [True, False])
def test_object_store_that_is_away_is_waited_for(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, name: str, readable: bool
) -> None:
    rig.claim("default")
    failing(monkeypatch, name)
    request = REQUEST.model_copy(update={"tenant": "default"})
    task = RenderTask(job_id="j", request_id="r", request=request, submitted_ms=1)
    rig.refuse(task.dump() if readable else b"garbage")
    assert len(rig.producers.dead_letters()) == 1
    end = markers.read_end(rig.store.documents, "default", "j")
    assert end is not None
    assert (end.type, end.attempt, end.request_id) == ("failed", 3, "r")
    assert [event.type for event in rig.producers.events()] == ["failed"]


def test_fatal_error_of_the_producer_ends_the_relay(rig: Rig) -> None:
    rig.producers.errors["render.dlq"] = ProducerFailed("_FATAL")
    with pytest.raises(ProducerFailed):
        rig.refuse(b"garbage")


def test_request_ends_its_own_job_and_none_of_another_tenant(rig: Rig) -> None:
    rig.claim("acme")
    rig.claim("default")
    rig.refuse(VALUE, b"render.requests")
    assert markers.read_end(rig.store.documents, "default", "j") is None
    end = markers.read_end(rig.store.documents, "acme", "j")
    assert end is not None
    assert (end.type, end.attempt) == ("failed", 3)


def test_request_whose_job_id_another_request_has_ends_nothing(rig: Rig) -> None:
    rig.claim("acme", b"another body")
    rig.refuse(VALUE, b"render.requests")
    assert (len(rig.producers.dead_letters()), rig.producers.events()) == (1, [])


def test_request_is_summarised_with_what_it_asks_for(rig: Rig) -> None:
    asked = {"department": "film", "owner": "ann@example.org", "params": Params(inference_steps=40)}
    value = REQUEST.model_copy(update=asked).model_dump_json(exclude_none=True).encode()
    rig.claim("acme", value)
    rig.refuse(value, b"render.requests")
    (event,) = rig.producers.events()
    assert isinstance(event, Failed)
    owner = pseudonyms.pseudonym("ann@example.org")
    assert (event.department, event.owner_hash, event.submitted_ms) == ("film", owner, SUBMITTED_MS)
    rig.tracing.provider.force_flush()
    (span,) = rig.spans.get_finished_spans()
    expected = {
        "outcome": "failed",
        "error.type": "INTERNAL",
        "tenant.department": "film",
        "owner.hash": owner,
        "engine": "puppet",
        "inference.steps": 40,
    }
    assert {key: (span.attributes or {}).get(key) for key in expected} == expected
    assert span.start_time == SUBMITTED_MS * 1_000_000


def test_request_that_is_not_read_any_more_still_ends(rig: Rig) -> None:
    """Another version of the front has accepted it."""
    value = b'{"job_id": "j", "tenant": "acme", "unknown": 1}'
    rig.claim("acme", value)
    rig.refuse(value, b"render.requests")
    assert [(event.type, event.job_id) for event in rig.producers.events()] == [("failed", "j")]


def test_refused_record_is_counted_as_a_failure(rig: Rig) -> None:
    labels = {"stage": "relay", "failure_class": "failed"}
    before = REGISTRY.get_sample_value("lipstage_task_failures_total", labels) or 0.0
    rig.refuse(b"garbage")
    assert REGISTRY.get_sample_value("lipstage_task_failures_total", labels) == before + 1
