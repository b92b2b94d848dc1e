"""The sonic engine in the pipeline, with the tiny checkpoint on a CPU; its service runs in .venv-sonic."""

import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from shared.cli.demo import check_services
from shared.local import processes
from shared.local import stack as local
from shared.local.doctor import doctor
from shared.local.engine_python import engine_python
from shared.local.stack_file import ServiceRecord, Stack
from shared.local.status import PartStatus, status
from tests.cli.conftest import Lipstage
from tests.conftest import ROOT
from tests.pipeline.client import ARTIFACTS, Client
from tests.pipeline.conftest import Pipeline, spoken, unseen_portrait
from tests.pipeline.test_kills import children, program
from tests.pipeline.test_service import probe

GOLDEN = ROOT / "tests" / "sonic" / "golden"
SECONDS = 0.4
STEPS = 5
PARAMS = {"min_resolution": 256, "framing": "face", "inference_steps": STEPS, "seed": 7}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint, outside the service's weights folder. Fails without `make setup-sonic`."""
    folder = tmp_path_factory.mktemp("made") / "tree"
    maker = [str(engine_python("sonic")), str(GOLDEN / "make_tiny_checkpoint.py"), "--skip-unused"]
    subprocess.run([*maker, "--config", str(GOLDEN / "A.json"), "--out", str(folder)], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The service's weights folder, which is missing at first."""
    return tmp_path_factory.mktemp("looked-at") / "weights"


@pytest.fixture(scope="module")
def both(pipeline: Pipeline, weights: Path) -> Iterator[Stack]:
    """The services, with infer services of sonic and puppet."""
    settings = pipeline.infrastructure.settings
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LIPSTAGE_SONIC_WEIGHTS", str(weights))
        environment.setenv("LIPSTAGE_SONIC_DEVICE", "cpu")
        yield local.up(settings, engines=["sonic"])
    local.up(settings, engines=[])


@pytest.fixture(scope="module")
def inputs(client: Client) -> tuple[str, str]:
    return client.upload(unseen_portrait()), client.upload(spoken(SECONDS))


def submit(client: Client, inputs: tuple[str, str]) -> str:
    # Blended chunks would decode every frame twice, which this test does not cover.
    return client.submit(*inputs, engine="sonic", engine_params={"decode_overlap": 0}, params=PARAMS)


def service(stack: Stack) -> ServiceRecord:
    return next(record for record in stack.services if record.engine == "sonic")


def pictures(video: bytes) -> list[bytes]:
    with av.open(io.BytesIO(video)) as file:
        return [bytes(frame.to_ndarray()) for frame in file.decode(video=0)]


@pytest.fixture(scope="module")
def undisturbed(both: Stack, client: Client, inputs: tuple[str, str]) -> str:
    """A job that was submitted while the weights were missing."""
    return submit(client, inputs)


def test_service_without_weights_is_not_ready_and_reports_why(
    pipeline: Pipeline, both: Stack, client: Client, undisturbed: str, weights: Path
) -> None:
    record = service(both)
    code, body = probe(record.health_port, "/readyz")
    assert code == 503
    assert "FOLDER_MISSING" in str(body["reason"])
    assert probe(record.health_port, "/livez")[0] == 200, "a restart would not help"
    # A probe has two seconds, which a service that starts may exceed.
    client.until(lambda: list(local.not_ready(both)) == [record.name], 30)

    def part() -> PartStatus:
        return next(p for p in status(pipeline.infrastructure.settings) if p.name == record.name)

    client.until(lambda: "FOLDER_MISSING" in part().detail, 30)
    assert not part().healthy
    assert [c.result for c in doctor(pipeline.infrastructure.settings) if c.name == record.name] == [part().detail]
    check_services(pipeline.infrastructure.settings, both)  # Nothing of it concerns the demo.
    again = Lipstage()("up", "--json")
    assert (again.code, list(again.json["not_ready"])) == (1, [record.name]), (
        "a plain `up` keeps the engine and reports it"
    )
    client.until(lambda: list(local.not_ready(both)) == [record.name], 30)  # The other services continue.
    client.until(lambda: ("finished", "face") in [(e.type, e.stage) for e in client.events[undisturbed]], 60)
    assert not [e for e in client.events[undisturbed] if e.stage == "infer"], "the job waits for a ready service"


def test_waiting_job_is_rendered_once_the_weights_exist(
    both: Stack, client: Client, undisturbed: str, weights: Path, tree: Path
) -> None:
    tree.rename(weights)
    end = client.done(undisturbed, 150)
    assert end.body["engine"] == "sonic"
    frames = pictures(client.video(undisturbed))
    assert len(frames) == round(SECONDS * 25)
    assert len(set(frames)) > len(frames) // 2, "it moves"
    assert probe(service(both).health_port, "/readyz")[0] == 200
    assert [key for key in client.keys(f"jobs/default/{undisturbed}/infer/") if "/checkpoints/" in key] == []


def test_trace_has_steps_guidance_and_durations(both: Stack, client: Client, undisturbed: str) -> None:
    client.done(undisturbed, 150)
    spans = client.spans(undisturbed, "render", "run_inference", "sonic.denoise")
    assert len({span["trace_id"] for span in spans}) == 1
    inference = attributes(spans, "run_inference")
    assert (inference["engine"], inference["inference.steps"]) == ("sonic", STEPS)
    assert (inference["guidance.audio"], inference["guidance.image"]) == (7.5, 2.0)
    assert inference["cpu.seconds"] > 0
    assert inference["gpu.seconds"] == 0, "a CPU has held no accelerator"
    assert inference["inference.resumed_step"] == 0
    assert attributes(spans, "render")["gpu.seconds"] == 0


def attributes(spans: list[dict[str, Any]], name: str) -> dict[str, Any]:
    attributes: dict[str, Any] = next(span["attributes"] for span in spans if span["name"] == name)
    return attributes


def saved_steps(client: Client, job: str) -> int:
    """Progress of the newest checkpoint in the object store."""
    key = f"jobs/default/{job}/infer/checkpoints/state.json"
    if key not in client.keys(key):
        return 0
    return int(json.loads(client.s3.get_object(Bucket=ARTIFACTS, Key=key)["Body"].read())["done"])


def test_render_killed_twice_is_resumed_to_the_same_bytes(
    pipeline: Pipeline, both: Stack, client: Client, inputs: tuple[str, str], undisturbed: str
) -> None:
    """First the worker is killed, then the service: another process resumes from the checkpoint."""
    client.done(undisturbed, 150)
    job = submit(client, inputs)
    client.until(lambda: saved_steps(client, job) >= 1, 90, [job])
    (worker,) = children(pipeline, "infer", engine="sonic")
    processes.kill(worker)
    before = saved_steps(client, job)
    assert 1 <= before < STEPS
    client.until(lambda: saved_steps(client, job) > before, 90, [job])
    whole = program(pipeline, service(both).name)
    processes.kill(whole)
    kept = saved_steps(client, job)
    assert before < kept < STEPS
    client.done(job, 150)
    attempts = [e.body["attempt"] for e in client.events[job] if (e.type, e.stage) == ("started", "infer")]
    assert attempts == [1, 2, 3], "the death of the worker and that of the service are attempts"
    assert pictures(client.video(job)) == pictures(client.video(undisturbed))
    spans = client.spans(job, "render", "run_inference", "sonic.denoise")
    assert attributes(spans, "run_inference")["inference.resumed_step"] >= kept
    client.until(lambda: not any("/checkpoints/" in key for key in client.keys(f"jobs/default/{job}/infer/")), 30)


def test_cancel_stops_the_render_between_two_network_calls(
    pipeline: Pipeline, both: Stack, client: Client, inputs: tuple[str, str]
) -> None:
    job = submit(client, inputs)
    client.until(lambda: saved_steps(client, job) >= 1, 90, [job])
    (worker,) = children(pipeline, "infer", engine="sonic")
    client.produce("render.cancel", b"{}", job)
    (end,) = client.wait([job])
    assert (end.type, end.body["code"]) == ("failed", "CANCELLED")
    assert children(pipeline, "infer", engine="sonic") == [worker], "the model stays loaded"
    client.until(lambda: not client.keys(f"jobs/default/{job}/infer/"), 30)  # They are deleted after the event.
    steps = [e.body["done"] for e in client.events[job] if (e.type, e.stage) == ("progress", "infer")]
    assert not steps or max(steps) < STEPS * 64, "the render was not completed"
