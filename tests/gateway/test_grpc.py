"""gRPC of a real gateway, with the generated stubs: what each call answers, and errors as statuses with codes."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from shared.access import api_keys
from shared.client import errors
from shared.messages.codes import Code
from stages.gateway import problems
from stages.gateway.problems import Problem
from stages.gateway.rpc import lipstage_pb2 as pb
from stages.gateway.rpc.errors import STATUS_OF_HTTP, status_of, trailers
from stages.gateway.rpc.lipstage_pb2_grpc import RendersStub
from stages.gateway.rpc.states import from_struct, struct
from tests.client.services import VIDEO, records
from tests.conftest import Infrastructure
from tests.gateway.watching import END_S, Gateway, Place, place
from tools import grpc_code

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
INPUTS = {"portrait": pb.InputReference(key="acme/p.png"), "speech": pb.InputReference(key="acme/s.wav")}


@pytest.fixture(scope="module")
def there(stack: Infrastructure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(stack, tmp_path_factory.mktemp("gateway")) as made:
        yield made


@pytest.fixture(scope="module")
def keys(there: Place) -> dict[str, str]:
    made = {tenant: api_keys.make(tenant, "user") for tenant in ("acme", "bolt")}
    api_keys.write(there.folder / "keys.jsonl", [key for key, _ in made.values()])
    return {tenant: text for tenant, (_, text) in made.items()}


@pytest.fixture(scope="module")
def gateway(there: Place, keys: dict[str, str]) -> Gateway:
    return there.gateway(LIPSTAGE_GATEWAY_KEYS_FILE=str(there.folder / "keys.jsonl"), LIPSTAGE_MAX_PORTRAIT_MB="1",
                         LIPSTAGE_GATEWAY_MAX_WATCHERS="1", LIPSTAGE_GATEWAY_UPLOAD_IDLE_S="1")  # fmt: skip


@pytest.fixture(scope="module")
def channel(gateway: Gateway) -> Iterator[grpc.Channel]:
    options = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", 8 << 20)]
    with grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}", options) as made:
        yield made


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> RendersStub:
    return RendersStub(channel)


def metadata(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"), ("traceparent", TRACEPARENT))


@pytest.fixture
def acme(keys: dict[str, str]) -> dict[str, Any]:
    return {"metadata": metadata(keys["acme"]), "timeout": 60}


@pytest.fixture
def bolt(keys: dict[str, str]) -> dict[str, Any]:
    return {"metadata": metadata(keys["bolt"]), "timeout": 60}


def refused(call: Any) -> tuple[Any, str]:
    """Status and code of a call that fails; its problem is that of HTTP."""
    with pytest.raises(grpc.RpcError) as error:
        answer = call()
        if hasattr(answer, "__next__"):
            list(answer)
    given = dict(error.value.trailing_metadata())
    problem = json.loads(given["lipstage-problem-bin"])
    assert problem["code"] == given["lipstage-code"] and problem["detail"] == error.value.details()
    assert problem.get("field") == given.get("lipstage-field")
    return error.value.code(), given["lipstage-code"]


def upload(stub: RendersStub, caller: dict[str, Any], role: int, *parts: bytes) -> pb.InputReference:
    messages = [pb.UploadFileRequest(role=role), *(pb.UploadFileRequest(data=part) for part in parts)]
    return stub.UploadFile(iter(messages), **caller)


def test_files_are_uploaded_and_submitted_in_the_trace_of_the_caller(
    there: Place, stub: RendersStub, acme: dict[str, Any]
) -> None:
    portrait = upload(stub, acme, pb.ROLE_PORTRAIT, b"a" * 1000, b"b" * 500)
    speech = upload(stub, acme, pb.ROLE_SPEECH, b"c")
    content = b"a" * 1000 + b"b" * 500
    assert (portrait.bucket, portrait.size) == ("inputs", 1500)
    assert portrait.sha256 == hashlib.sha256(content).hexdigest()
    assert portrait.key.startswith("acme/posted.uploads/")
    bucket = there.connection.storage_settings.input_buckets["inputs"]
    stored = there.connection.s3.get_object(Bucket=bucket, Key=portrait.key)
    assert stored["Body"].read() == content

    params, fields = Struct(), Struct()
    params.update({"seed": 7, "dynamic_scale": 1.5})
    fields.update({"deadline_s": 60, "department": "news"})
    request = pb.SubmitRequest(portrait=portrait, speech=speech, idempotency_key="once", params=params, fields=fields,
                               labels={"name": "anna"}, engine="puppet", lane="bulk")  # fmt: skip
    submitted = stub.Submit(request, **acme)
    assert (submitted.tenant, submitted.trace_id, submitted.is_repeat) == ("acme", TRACE, False)
    message = next(records(there.connection, "render.requests"))
    assert message.key().decode() == submitted.job_id
    body = json.loads(message.value())
    assert body["params"] == {"seed": 7, "dynamic_scale": 1.5} and isinstance(body["params"]["seed"], int)
    assert (body["labels"], body["deadline_s"], body["department"]) == ({"name": "anna"}, 60, "news")
    assert body["portrait"]["key"] == portrait.key

    again = stub.Submit(request, **acme)
    assert (again.job_id, again.is_repeat) == (submitted.job_id, True)
    render = stub.GetRender(pb.GetRenderRequest(job_id=submitted.job_id), **acme)
    assert (render.status, render.tenant, dict(render.labels)) == ("queued", "acme", {"name": "anna"})


def test_a_render_is_watched_to_its_end_and_fetched(there: Place, stub: RendersStub, acme: dict[str, Any]) -> None:
    there.services.event("accepted", "film", engine="puppet", tenant="acme")
    updates = stub.Watch(pb.WatchRequest(job_id="film"), **acme)
    first = next(updates)
    assert (first.type, first.render.status, first.is_last) == ("state", "accepted", False)
    assert not first.HasField("event")
    there.services.event("started", "film", stage="audio", tenant="acme")
    content = bytes(range(256)) * 5000  # Three parts.
    there.services.done("film", content, tenant="acme")
    started, done = updates
    assert (started.type, started.render.stages[0].name, started.render.stages[0].state) == (
        "started", "audio", "running")  # fmt: skip
    assert MessageToDict(started.event)["stage"] == "audio"
    assert (done.type, done.render.status, done.is_last) == ("done", "done", True)
    assert from_struct(done.render.json)["terminal_event"]["video"]["size"] == len(content)

    assert [u.type for u in stub.Watch(pb.WatchRequest(job_id="film", after=first.id), **acme)] == ["started", "done"]

    head, *parts = stub.Fetch(pb.FetchRequest(job_id="film"), **acme)
    assert (head.header.size, head.header.media_type) == (len(content), "video/mp4")
    data = b"".join(part.data for part in parts)
    assert data == content and hashlib.sha256(data).hexdigest() == head.header.sha256
    assert len(parts) == 3
    poster = pb.FetchRequest(job_id="film", file=pb.FetchRequest.FILE_POSTER)
    assert b"".join(part.data for part in stub.Fetch(poster, **acme)) == b"jpg"


def test_a_render_is_cancelled(stub: RendersStub, acme: dict[str, Any]) -> None:
    job = stub.Submit(pb.SubmitRequest(**INPUTS), **acme).job_id
    assert stub.Cancel(pb.CancelRequest(job_id=job), **acme).status in ("cancelled", "cancelling")


def test_what_is_wrong_has_a_status_and_a_code(
    there: Place, gateway: Gateway, stub: RendersStub, acme: dict[str, Any]
) -> None:
    status = grpc.StatusCode
    there.services.event("accepted", "open", engine="puppet", tenant="acme")
    there.services.event("failed", "failed", stage="face", code="NO_FACE", message="m", tenant="acme")
    bad = Struct()
    bad.update({"inference_steps": 1000})
    tenant = Struct()
    tenant.update({"tenant": "bolt"})
    unknown = Struct()
    unknown.update({"colour": "red"})
    cases: list[tuple[Any, Any, str]] = [
        (lambda: stub.GetRender(pb.GetRenderRequest(job_id="nobody"), **acme), status.NOT_FOUND, "JOB_NOT_FOUND"),
        (lambda: stub.GetRender(pb.GetRenderRequest(job_id="é/"), **acme), status.INVALID_ARGUMENT, "INVALID_REQUEST"),
        (lambda: stub.Watch(pb.WatchRequest(job_id="nobody"), **acme), status.NOT_FOUND, "JOB_NOT_FOUND"),
        (lambda: stub.Fetch(pb.FetchRequest(job_id="open"), **acme), status.FAILED_PRECONDITION, "JOB_NOT_FINISHED"),
        (lambda: stub.Fetch(pb.FetchRequest(job_id="failed"), **acme), status.FAILED_PRECONDITION,
         "JOB_WITHOUT_RESULT"),
        (lambda: stub.Cancel(pb.CancelRequest(job_id="failed"), **acme), status.FAILED_PRECONDITION, "JOB_ENDED"),
        (lambda: stub.Submit(pb.SubmitRequest(), **acme), status.INVALID_ARGUMENT, "INVALID_REQUEST"),
        (lambda: stub.Submit(pb.SubmitRequest(params=bad, **INPUTS), **acme), status.INVALID_ARGUMENT,
         "INVALID_REQUEST"),
        (lambda: stub.Submit(pb.SubmitRequest(fields=tenant, **INPUTS), **acme), status.INVALID_ARGUMENT,
         "INVALID_REQUEST"),
        (lambda: stub.Submit(pb.SubmitRequest(fields=unknown, **INPUTS), **acme), status.INVALID_ARGUMENT,
         "INVALID_REQUEST"),
        (lambda: upload(stub, acme, pb.ROLE_PORTRAIT, *[b"x" * (600 << 10)] * 2), status.INVALID_ARGUMENT,
         "INPUT_TOO_LARGE"),
        (lambda: upload(stub, acme, pb.ROLE_PORTRAIT), status.INVALID_ARGUMENT, "INVALID_REQUEST"),
        (lambda: upload(stub, acme, pb.ROLE_UNSPECIFIED, b"x"), status.INVALID_ARGUMENT, "INVALID_REQUEST"),
        (lambda: stub.GetRender(pb.GetRenderRequest(job_id="open"), timeout=60), status.UNAUTHENTICATED,
         "UNAUTHENTICATED"),
    ]  # fmt: skip
    for call, expected, code in cases:
        assert refused(call) == (expected, code)
    fetches = gateway.measured("lipstage_grpc_calls_total", method="Fetch", status="FAILED_PRECONDITION")
    assert fetches == 2
    assert gateway.measured("lipstage_grpc_call_duration_seconds_count", method="Fetch") >= fetches


def test_another_tenant_can_do_nothing_with_a_render(
    there: Place, stub: RendersStub, acme: dict[str, Any], bolt: dict[str, Any]
) -> None:
    there.services.done("secret", tenant="acme")
    assert stub.GetRender(pb.GetRenderRequest(job_id="secret"), **acme).status == "done"
    for call in (
        lambda: stub.GetRender(pb.GetRenderRequest(job_id="secret"), **bolt),
        lambda: stub.Watch(pb.WatchRequest(job_id="secret"), **bolt),
        lambda: stub.Fetch(pb.FetchRequest(job_id="secret"), **bolt),
        lambda: stub.Cancel(pb.CancelRequest(job_id="secret"), **bolt),
    ):
        assert refused(call) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")
    # A reference to another tenant's file is refused before anything is sent.
    assert refused(lambda: stub.Submit(pb.SubmitRequest(**INPUTS), **bolt))[0] == grpc.StatusCode.PERMISSION_DENIED
    assert b"".join(part.data for part in stub.Fetch(pb.FetchRequest(job_id="secret"), **acme)) == VIDEO


def test_an_upload_that_stops_is_ended(there: Place, stub: RendersStub, acme: dict[str, Any]) -> None:
    import threading

    stop = threading.Event()

    def parts() -> Iterator[pb.UploadFileRequest]:
        yield pb.UploadFileRequest(role=pb.ROLE_PORTRAIT)
        yield pb.UploadFileRequest(data=b"x")
        stop.wait(60)

    try:
        assert refused(lambda: stub.UploadFile(parts(), **acme)) == (
            grpc.StatusCode.DEADLINE_EXCEEDED, "REQUEST_TIMEOUT")  # fmt: skip
    finally:
        stop.set()


def test_watchers_beyond_the_limit_are_refused_and_a_place_is_given_back(
    there: Place, stub: RendersStub, acme: dict[str, Any]
) -> None:
    there.services.event("accepted", "busy", engine="puppet", tenant="acme")
    held = stub.Watch(pb.WatchRequest(job_id="busy"), **acme)
    next(held)
    assert refused(lambda: stub.Watch(pb.WatchRequest(job_id="busy"), **acme)) == (
        grpc.StatusCode.UNAVAILABLE, "TOO_MANY_WATCHERS")  # fmt: skip
    held.cancel()
    # The gateway notices that the caller has gone.
    for _ in range(200):
        updates = stub.Watch(pb.WatchRequest(job_id="busy"), **acme)
        try:
            assert next(updates).type == "state"
            break
        except grpc.RpcError as e:
            assert e.code() == grpc.StatusCode.UNAVAILABLE
    else:
        raise AssertionError("the place is not free")
    updates.cancel()


def test_health_and_reflection_answer(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "lipstage.v1.Renders"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([asked]), timeout=20)
    names = {service.name for service in answer.list_services_response.service}
    assert names == {"lipstage.v1.Renders", "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


def test_a_watch_ends_with_the_gateway(there: Place) -> None:
    there.services.event("accepted", "ending", engine="puppet")
    ending = there.gateway()
    with grpc.insecure_channel(f"127.0.0.1:{ending.grpc_port}", [("grpc.enable_http_proxy", 0)]) as channel:
        updates = RendersStub(channel).Watch(pb.WatchRequest(job_id="ending"), timeout=60)
        assert next(updates).render.status == "accepted"
        ending.process.terminate()
        assert list(updates) == [], "a stream that was cut has no last update"
    assert ending.process.wait(END_S) == 0  # A second signal would end it out of order.


# Without a gateway.


def test_the_generated_code_is_that_of_the_proto_file() -> None:
    for path, text in grpc_code.made().items():
        assert (grpc_code.ROOT / path).read_text() == text, "run python -m tools.grpc_code"


def test_every_problem_has_a_grpc_status() -> None:
    statuses = {status for _, status, _ in problems.OF_ERRORS} | set(problems.STATUS_OF_CODE.values()) | {422}
    assert statuses <= STATUS_OF_HTTP.keys()
    assert status_of(problems.of_error(errors.JobConflict("m"))) == grpc.StatusCode.ALREADY_EXISTS
    quota = problems.of_error(errors.BrokerUnreachable("m"))
    assert dict(trailers(quota, "r"))["retry-after-s"] == "5"
    named = Problem(422, str(Code.INVALID_REQUEST), "m", field="labels.é\n")
    assert "lipstage-field" not in dict(trailers(named, "r"))


def test_the_page_has_the_table_of_statuses() -> None:
    rows = re.findall(r"^\| ([0-9, ]+) \| ([A-Z_]+)", (grpc_code.ROOT / "docs" / "live.md").read_text(), re.MULTILINE)
    written = {int(number): status for numbers, status in rows for number in numbers.split(",")}
    assert written == {number: status.name for number, status in STATUS_OF_HTTP.items()}


@pytest.mark.parametrize("value", [{}, {"a": 1, "b": [1.5, {"c": -(2**53)}], "d": None, "e": True, "f": "é"}])
def test_json_survives_a_struct(value: dict[str, Any]) -> None:
    made = struct(value)
    assert made is not None
    assert json.dumps(from_struct(made), sort_keys=True) == json.dumps(value, sort_keys=True)


def test_the_proto_file_is_part_of_the_package() -> None:
    assert (Path(pb.__file__).parent / "lipstage.proto").is_file()
