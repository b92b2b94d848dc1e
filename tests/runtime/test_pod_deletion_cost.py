"""The deletion cost of the own pod, against an API server with TLS: its requests, and failures that fail nothing."""

import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any, cast

import pytest
import trustme
from prometheus_client import REGISTRY

from shared.runtime.host import pod_deletion_cost
from shared.runtime.host.pod_deletion_cost import ANNOTATION, MAX_COST, Pod, PodDeletionCost
from tests.runtime.test_entry_point import run

WAIT_S = 120


class ApiServer:
    """Answers every request with ``status`` and keeps it."""

    def __init__(self, ca: trustme.CA) -> None:
        self.requests: Queue[tuple[str, str, dict[str, str], Any]] = Queue()
        self.status = 200
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_PATCH(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                api.requests.put((self.command, self.path, dict(self.headers), body))
                self.send_response(api.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("127.0.0.1").configure_cert(context)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def cost(self) -> int:
        """The cost in the next request."""
        _, _, _, body = self.requests.get(timeout=WAIT_S)
        return int(body["metadata"]["annotations"][ANNOTATION])


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiServer]:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.crt")
    (tmp_path / "token").write_text("first\n")
    server = ApiServer(ca)
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def pod(api: ApiServer, tmp_path: Path) -> Pod:
    return Pod("audio-1", "media", "127.0.0.1", api.server.server_address[1], tmp_path)


class Work:
    """How long the longest task has worked."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def work(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    monkeypatch.setattr(pod_deletion_cost, "POLL_S", 0.01)
    monkeypatch.setattr(pod_deletion_cost, "IDLE_S", 0.0)
    work, stop = Work(), threading.Event()
    thread = threading.Thread(target=PodDeletionCost("audio", pod, work).run, args=(stop,))
    thread.start()
    yield work
    stop.set()
    thread.join(WAIT_S)
    assert not thread.is_alive()


def failures() -> float:
    return REGISTRY.get_sample_value("lipstage_pod_deletion_cost_failures_total", {"stage": "audio"}) or 0.0


def test_request_patches_the_own_pod_with_the_current_token(api: ApiServer, pod: Pod, tmp_path: Path) -> None:
    pod.annotate(7)
    method, path, headers, body = api.requests.get(timeout=WAIT_S)
    assert (method, path) == ("PATCH", "/api/v1/namespaces/media/pods/audio-1")
    assert headers["Content-Type"] == "application/merge-patch+json"
    assert headers["Authorization"] == "Bearer first"
    assert body == {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "7"}}}
    (tmp_path / "token").write_text("rotated")
    pod.annotate(8)
    assert api.requests.get(timeout=WAIT_S)[2]["Authorization"] == "Bearer rotated"


def test_server_of_another_authority_is_not_trusted(api: ApiServer, pod: Pod, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.crt")
    with pytest.raises(ssl.SSLCertVerificationError):
        pod.annotate(1)


def test_cost_follows_the_work_and_a_busy_pod_costs_more_than_an_idle_one(
    api: ApiServer, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert api.cost() == 0, "written at the start: what an earlier process left is wrong"
    work.seconds = 0.2
    assert api.cost() == 1, "a task has begun"
    work.seconds = 0.0
    assert api.cost() == 0, "it has ended"
    monkeypatch.setattr(pod_deletion_cost, "UPDATE_S", 0.0)
    work.seconds = 40.5
    assert api.cost() == 41
    work.seconds = 99.0
    assert api.cost() == 100, "it grows while the task works"
    work.seconds = 1e9
    assert api.cost() == MAX_COST


def test_a_long_task_is_written_seldom(api: ApiServer, work: Work) -> None:
    assert api.cost() == 0
    work.seconds = 1.0
    assert api.cost() == 2
    work.seconds = 5.0
    work.seconds = 0.0
    assert api.cost() == 0, "the next request is that of the end"


@dataclass
class Annotated:
    """In the place of a pod: keeps the costs, and fails on request."""

    costs: list[int] = field(default_factory=list)
    answers: bool = True

    def annotate(self, cost: int) -> None:
        self.costs.append(cost)
        if not self.answers:
            raise TimeoutError


@pytest.fixture
def annotated() -> Annotated:
    return Annotated()


def test_pod_with_short_tasks_is_busy_all_the_time(annotated: Annotated) -> None:
    work = Work()
    cost = PodDeletionCost("audio", cast("Pod", annotated), work)
    cost.update(100.0)
    for second in range(10):  # A task of a second, then none for a second.
        work.seconds = 0.5 if second % 2 == 0 else 0.0
        cost.update(101.0 + second)
    assert annotated.costs == [0, 1]
    cost.update(113.9)
    assert annotated.costs == [0, 1], "the last task ran at 109"
    cost.update(114.0)
    assert annotated.costs == [0, 1, 0]
    work.seconds = 0.1
    cost.update(114.1)
    assert annotated.costs == [0, 1, 0, 1], "busy at once"


def test_cost_is_written_again_after_a_write_without_an_answer(annotated: Annotated) -> None:
    """The server may have stored the lost one."""
    work = Work()
    cost = PodDeletionCost("audio", cast("Pod", annotated), work)
    cost.update(0.0)
    work.seconds, annotated.answers = 0.5, False
    cost.update(1.0)
    work.seconds, annotated.answers = 0.0, True
    cost.update(7.0)
    assert annotated.costs == [0, 1], "not before 15 s have passed"
    cost.update(16.0)
    cost.update(32.0)
    assert annotated.costs == [0, 1, 0]


def test_refusal_is_logged_once_with_the_role_and_counted(
    api: ApiServer, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    from structlog.testing import capture_logs

    api.status, before = 403, failures()
    cost = PodDeletionCost("audio", pod, lambda: 1.0)
    with capture_logs() as lines:
        cost._write(2)
        cost._write(3)
        api.status = 200
        cost._write(4)
    assert [line["event"] for line in lines] == ["pod_deletion_cost_not_set", "pod_deletion_cost_set_again"]
    assert "verbs: [patch]" in lines[0]["hint"]
    assert failures() == before + 2


@pytest.mark.parametrize("broken", ["server", "token", "ca"])
def test_nothing_is_raised_when_the_server_or_the_account_is_away(
    api: ApiServer, pod: Pod, tmp_path: Path, broken: str
) -> None:
    before = failures()
    if broken == "server":
        api.server.shutdown()
        api.server.server_close()
    else:
        (tmp_path / ("token" if broken == "token" else "ca.crt")).unlink()
    PodDeletionCost("audio", pod, lambda: 1.0)._write(2)
    assert failures() == before + 1


def test_service_outside_of_a_pod_refuses_to_start() -> None:
    ended = run("audio", LIPSTAGE_POD_DELETION_COST="true", POD_NAME="", POD_NAMESPACE="")
    assert ended.returncode == 2
    assert "needs POD_NAME and POD_NAMESPACE, from the downward API" in ended.stdout
