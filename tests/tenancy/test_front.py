"""Requests of senders that may not speak for a tenant, without a broker: what they cost and leave, and what passes."""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from shared.messages.codes import Code
from shared.messages.delivery_headers import ORIGIN, ORIGIN_TIME, RETRY_CODE, RETRY_TOPIC, without
from shared.messages.events import EVENT
from shared.messages.identity import request_id
from shared.messages.tenant_signature import HEADERS, TAKEN, SigningKey, prove_taken
from shared.runtime.consume.assignment import Record
from shared.runtime.consume.share import share_of
from shared.runtime.failures import TopicMissing
from shared.runtime.settings import RuntimeSettings
from shared.runtime.tenant_check import TenantCheck
from shared.storage import markers
from shared.storage.errors import StoreUnavailable
from shared.telemetry import metrics
from tests.runtime.memory import MemoryProducers
from tests.runtime.memory_stage import FRONT, MemoryStage
from tests.tenancy.senders import SERVICE_KEYS, body, signature

JOB = b"clip-1"
AGE_S = 300.0


def front(tmp_path: Path, tenancy: str, **settings: Any) -> MemoryStage:
    keys = SERVICE_KEYS if tenancy == "signed" else ()
    return MemoryStage(FRONT, tmp_path, keys=keys, tenancy=tenancy, tenant="acme", **settings)


def store_calls(rig: MemoryStage) -> list[str]:
    """Names of the calls of the object store from now on."""
    calls: list[str] = []

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **named: Any) -> Any:
            calls.append(name)
            return call(*arguments, **named)

        return wrapper

    for part in (rig.store.documents, rig.store.artifacts, rig.store.inputs):
        for name in dir(part):
            if not name.startswith("_") and callable(call := getattr(part, name)):
                setattr(part, name, counted(name, call))
    return calls


def handle(
    rig: MemoryStage,
    value: bytes,
    headers: Any = (),
    topic: str = "render.requests",
    key: bytes | None = JOB,
    offset: int = 7,
) -> dict[str, Any]:
    """The last event, with its topic."""
    record = Record(
        topic, 0, offset, key, value, list(headers() if callable(headers) else headers), int(time.time() * 1000)
    )
    rig.processor.handle(record, rig.assignment, rig.worker)
    sent = [(name, json.loads(event or b"")) for name, event, _ in rig.producers.records if "render.events" in name]
    for _, event in sent:
        EVENT.validate_python(event)
    return {"topic": sent[-1][0], **sent[-1][1]} if sent else {}


# Headers are made when a test runs: a signature is valid for minutes, and a session of tests takes longer.
REFUSED = {
    "single, another tenant": ("single", "render.requests", body("beta"), (), Code.TENANT_FORBIDDEN, "acme", ""),
    "single, another tenant, not valid": (
        *("single", "render.requests", b'{"tenant": "beta"}', (), Code.TENANT_FORBIDDEN, "acme", ""),
    ),
    "topic, another tenant": (
        *("topic", "render.requests.acme", body("beta"), (), Code.TENANT_FORBIDDEN, "acme", ".acme"),
    ),
    "topic, shared": ("topic", "render.requests", body("acme"), (), Code.TENANT_FORBIDDEN, "unverified", ""),
    "topic, bulk": ("topic", "render.requests.bulk", body("acme"), (), Code.TENANT_FORBIDDEN, "unverified", ""),
    "unsigned": ("signed", "render.requests", body("acme"), (), Code.TENANT_UNSIGNED, "unverified", ""),
    "signed for another body": (
        "signed",
        "render.requests",
        body("acme") + b" ",
        partial(signature, "request", "acme", JOB, body("acme")),
        Code.TENANT_SIGNATURE_INVALID,
        "unverified",
        "",
    ),
    "signed with the key of another tenant": (
        "signed",
        "render.requests",
        body("beta"),
        partial(signature, "request", "beta", JOB, body("beta")),
        Code.TENANT_FORBIDDEN,
        "unverified",
        "",
    ),
    "signed for another tenant than the body's": (
        "signed",
        "render.requests",
        body("beta"),
        partial(signature, "request", "acme", JOB, body("beta")),
        Code.TENANT_FORBIDDEN,
        "acme",
        "",
    ),
    "signed too long ago": (
        "signed",
        "render.requests",
        body("acme"),
        partial(signature, "request", "acme", JOB, body("acme"), AGE_S + 60),
        Code.TENANT_SIGNATURE_EXPIRED,
        "unverified",
        "",
    ),
    "signed in the future": (
        "signed",
        "render.requests",
        body("acme"),
        partial(signature, "request", "acme", JOB, body("acme"), -AGE_S - 3600),
        Code.TENANT_SIGNATURE_EXPIRED,
        "unverified",
        "",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_sender_gets_a_code_and_costs_the_named_tenant_nothing(tmp_path: Path, case: str) -> None:
    tenancy, topic, value, headers, code, tenant, ending = REFUSED[case]
    rig = front(tmp_path, tenancy, tenant_quota=1)
    calls = store_calls(rig)
    before = metrics.TENANT_REFUSALS.labels("request", code)._value.get()
    with capture_logs() as lines:
        event = handle(rig, value, headers, topic)
    assert (event["type"], event["code"], event["tenant"]) == ("rejected", code, tenant)
    assert event["topic"] == f"render.events{ending}"
    assert calls == [], "the object store is not asked"
    assert [name for name, *_ in rig.producers.records] == [event["topic"]], "nothing but the event is sent"
    assert metrics.TENANT_REFUSALS.labels("request", code)._value.get() == before + 1
    (line,) = [line for line in lines if line["event"] == "tenant_refused"]
    assert (line["topic"], line["offset"], line["code"], line["named_job"]) == (topic, 7, code, "clip-1")


@pytest.mark.parametrize("case", REFUSED)
def test_refusal_ends_no_job_of_the_tenant_that_was_named(tmp_path: Path, case: str) -> None:
    tenancy, topic, value, headers, *_ = REFUSED[case]
    event = handle(front(tmp_path, tenancy), value, headers, topic)
    own = request_id(topic, 0, 7, value)
    assert (event["job_id"], event["request_id"]) == (own, own)
    assert "clip-1" in event["message"], "the sender learns which of its records it was"
    assert {"batch", "owner_hash", "department"}.isdisjoint(event)


PERMITTED = {
    "open": ("open", "render.requests", "beta", ()),
    "single": ("single", "render.requests", "acme", ()),
    "topic": ("topic", "render.requests.acme", "acme", ()),
    "topic, bulk": ("topic", "render.requests.acme.bulk", "acme", ()),
    "signed": ("signed", "render.requests", "acme", partial(signature, "request", "acme", JOB, body("acme"))),
}


@pytest.mark.parametrize("case", PERMITTED)
def test_sender_that_may_speak_for_the_tenant_is_taken(tmp_path: Path, case: str) -> None:
    tenancy, topic, tenant, headers = PERMITTED[case]
    rig = front(tmp_path, tenancy)
    handle(rig, body(tenant), headers, topic)
    face = "render.face.bulk" if topic.endswith(".bulk") else "render.face"
    assert [task.request.tenant for task in rig.producers.tasks(face)] == [tenant]
    events = {name for name, *_ in rig.producers.records if "render.events" in name}
    assert events == {"render.events.acme" if tenancy == "topic" else "render.events"}


@pytest.mark.parametrize("tenancy", ["single", "topic", "signed"])
def test_unreadable_request_is_one_of_its_sender(tmp_path: Path, tenancy: str) -> None:
    topic = "render.requests.acme" if tenancy == "topic" else "render.requests"
    event = handle(front(tmp_path, tenancy), b"{", signature("request", "acme", JOB, b"{"), topic)
    assert (event["code"], event["tenant"], event["job_id"]) == ("INVALID_REQUEST", "acme", "clip-1")


def test_tenant_without_a_topic_for_its_events_is_refused_and_no_service_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def partitions(_: MemoryProducers, topic: str) -> int:
        raise TopicMissing(topic)

    monkeypatch.setattr(MemoryProducers, "partitions", partitions)
    event = handle(front(tmp_path, "topic"), body("acme"), topic="render.requests.acme")
    assert (event["topic"], event["code"]) == ("render.events", "TENANT_FORBIDDEN")


def old(value: bytes) -> list[tuple[str, bytes | None]]:
    """A record that a relay or an operator has sent back: signed an hour ago, with the headers of a repeated record."""
    repeats = [(ORIGIN, b"render.requests/0/7"), (ORIGIN_TIME, str(int(time.time() * 1000) - 3_600_000).encode())]
    return [*signature("request", "acme", JOB, value, 3600.0), *repeats]


def aged(headers: Any, age_ms: int = 3_600_000) -> list[tuple[str, bytes | None]]:
    """Headers of a request that was sent, verified and sent on an hour ago."""
    value, proof = body("acme"), dict(headers)[TAKEN]
    assert prove_taken(SERVICE_KEYS, "acme", JOB, value, int(proof.split(b";")[2]))[1] == proof
    kept = without(headers, {*HEADERS, RETRY_TOPIC, RETRY_CODE})
    now_ms = int(time.time() * 1000)
    own = prove_taken(SERVICE_KEYS, "acme", JOB, value, now_ms - age_ms)
    return [*kept, *signature("request", "acme", JOB, value, age_ms / 1000), own]


def unavailable(*_: Any, **__: Any) -> Any:
    raise StoreUnavailable("the object store is away")


def test_request_whose_claim_failed_in_an_outage_is_taken_when_its_retry_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = front(tmp_path, "signed")
    with monkeypatch.context() as outage:
        outage.setattr(markers, "claim_request", unavailable)
        handle(rig, body("acme"), signature("request", "acme", JOB, body("acme")))
    ((_, value, headers),) = rig.producers.retries()
    handle(rig, value or b"", aged(headers), offset=8)
    assert len(rig.producers.tasks("render.face")) == 1


def test_dead_letter_of_a_request_that_was_never_claimed_is_replayed_without_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = front(tmp_path, "signed", max_crashes=1)
    record = Record("render.requests", 0, 7, JOB, body("acme"), signature("request", "acme", JOB, body("acme")),
                    int(time.time() * 1000), crashes=2)  # fmt: skip
    rig.processor.handle(record, rig.assignment, rig.worker)
    (headers,) = [headers for topic, _, headers in rig.producers.records if topic == "render.dlq"]
    handle(rig, body("acme"), aged(headers), offset=8)
    assert len(rig.producers.tasks("render.face")) == 1


@pytest.mark.parametrize("proof", ["none", "forged", "of another body", "of a dead letter that is gone"])
def test_old_signature_needs_a_proof_that_a_service_made(tmp_path: Path, proof: str) -> None:
    value, now_ms = body("acme"), int(time.time() * 1000)
    headers = old(value)
    if proof == "forged":
        headers += [prove_taken([SigningKey("g1", b"x" * 32)], "acme", JOB, value, now_ms)]
    elif proof == "of another body":
        headers += [prove_taken(SERVICE_KEYS, "acme", JOB, value + b" ", now_ms)]
    elif proof != "none":
        headers += [prove_taken(SERVICE_KEYS, "acme", JOB, value, now_ms - 31 * 24 * 3_600_000)]
    assert handle(front(tmp_path, "signed"), value, headers)["code"] == "TENANT_SIGNATURE_EXPIRED"


def test_request_that_was_not_verified_is_sent_on_without_a_proof() -> None:
    value = body("acme")
    check = TenantCheck(RuntimeSettings(tenancy="signed"), SERVICE_KEYS)
    for headers in ([], old(value), signature("request", "acme", JOB, value + b" ")):
        record = Record("render.requests", 0, 7, JOB, value, list(headers), int(time.time() * 1000))
        assert check.with_proof(record) is record


SERVED = {
    "open": ("open", "render.requests", False, None),
    "single": ("single", "render.requests", False, "acme"),
    "topic": ("topic", "render.requests.acme.bulk", False, "acme"),
    "topic, shared": ("topic", "render.requests", False, "unverified"),
    "signed": ("signed", "render.requests", True, "acme"),
    "unsigned": ("signed", "render.requests", False, "unverified"),
}


@pytest.mark.parametrize("case", SERVED)
def test_request_is_processed_in_the_turn_of_its_sender_whatever_its_body_names(case: str) -> None:
    tenancy, topic, is_signed, tenant = SERVED[case]
    value = body("beta")
    headers: Any = signature("request", "acme", JOB, value) if is_signed else []
    check = TenantCheck(RuntimeSettings(tenancy=tenancy, tenant="acme"), SERVICE_KEYS)
    share = share_of(Record(topic, 0, 7, JOB, value, headers, int(time.time() * 1000)), check.served)
    assert share.tenant == (tenant or "beta")


def test_header_of_a_repeated_request_alone_makes_no_old_signature_valid(tmp_path: Path) -> None:
    event = handle(front(tmp_path, "signed"), body("acme"), old(body("acme")))
    assert event["code"] == "TENANT_SIGNATURE_EXPIRED"


def test_old_signature_takes_no_job_id_of_another_body(tmp_path: Path) -> None:
    rig, other = front(tmp_path, "signed"), body("acme") + b" "
    handle(rig, body("acme"), signature("request", "acme", JOB, body("acme")))
    assert handle(rig, other, old(other), offset=8)["code"] == "TENANT_SIGNATURE_EXPIRED"


def test_request_that_is_passed_on_is_taken_from_the_bulk_lane_however_old_its_signature(tmp_path: Path) -> None:
    rig = front(tmp_path, "signed")
    value = json.dumps(json.loads(body("acme")) | {"lane": "bulk"}).encode()
    handle(rig, value, signature("request", "acme", JOB, value))
    (passed,) = [record for record in rig.producers.records if record[0] == "render.requests.bulk"]
    assert (passed[1], rig.producers.tasks("render.face.bulk")) == (value, [])
    proof = [(TAKEN, dict(passed[2])[TAKEN])]
    handle(rig, value, [*old(value), *proof], "render.requests.bulk", offset=0)
    assert len(rig.producers.tasks("render.face.bulk")) == 1


def test_bulk_request_of_a_tenant_is_passed_on_in_its_own_topics(tmp_path: Path) -> None:
    rig = front(tmp_path, "topic")
    handle(rig, json.dumps(json.loads(body("acme")) | {"lane": "bulk"}).encode(), topic="render.requests.acme")
    assert [name for name, *_ in rig.producers.records] == ["render.requests.acme.bulk"]
