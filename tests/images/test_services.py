"""The services as containers with a real broker and object store: a render, and SIGTERM when idle and in mid-task."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import av
import pytest

from shared.local import ports
from tests.conftest import Infrastructure
from tests.images.containers import Podman, Service, until

pytestmark = [pytest.mark.images, pytest.mark.timeout(900)]
PRODUCT = ("relay", "audio", "face", "infer-puppet", "encode")
GRACE_S = 30
"""Kubernetes' default: LIPSTAGE_DRAIN_S, 20, and 5 to leave the group fit into it."""
SAMPLES = "/opt/lipstage/lib/python3.11/site-packages/shared/samples"


class Product:
    """The services of one deployment with topics of its own, and the command line beside them."""

    def __init__(self, podman: Podman, environment: dict[str, str], files: Path) -> None:
        self._podman, self.environment, self._files = podman, environment, files
        self._opened = ExitStack()
        self.services: dict[str, Service] = {}

    def start(self, *targets: str) -> None:
        for target, port in zip(targets, ports.pick(len(targets)), strict=True):
            service = self._podman.service(target, self.environment, port)
            self.services[target] = self._opened.enter_context(service)
        for target in targets:
            self.services[target].wait_ready()

    def cli(self, *arguments: object, check: bool = True) -> str:
        """Run a command in the container `ops`; /files is a folder of this machine."""
        variables = [word for name, value in self.environment.items() for word in ("--env", f"{name}={value}")]
        options = ["--network=host", "--volume", f"{self._files}:/files", *variables]
        return self._podman.once("ops", *arguments, options=options, check=check).stdout

    def close(self) -> None:
        self._opened.close()


@pytest.fixture
def product(podman: Podman, stack: Infrastructure, topic_prefix: str, tmp_path: Path) -> Iterator[Product]:
    files = tmp_path / "files"
    files.mkdir(mode=0o777)
    files.chmod(0o777)  # The container's user writes the video.
    names = (
        "KAFKA_BOOTSTRAP_SERVERS",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_REGION",
    )
    environment = {name: stack.environment[name] for name in names if name in stack.environment}
    product = Product(podman, environment | {"LIPSTAGE_TOPIC_PREFIX": topic_prefix}, files)
    product.cli("topics", "apply")
    try:
        yield product
    finally:
        product.close()


def test_a_render_through_the_containers(product: Product, tmp_path: Path) -> None:
    product.start(*PRODUCT)
    product.cli("render", f"{SAMPLES}/portrait.png", f"{SAMPLES}/speech.wav", "-o", "/files/out.mp4")
    with av.open(str(tmp_path / "files" / "out.mp4")) as file:
        assert sum(1 for _ in file.decode(video=0)) == 252
        assert len(file.streams.audio) == 1


def test_an_idle_service_ends_on_sigterm(product: Product) -> None:
    product.start(*PRODUCT)
    assert {target: service.stop(GRACE_S) for target, service in product.services.items()} == dict.fromkeys(PRODUCT, 0)


def test_a_running_task_is_finished_on_sigterm(product: Product) -> None:
    product.start(*PRODUCT)
    job = product.cli("submit", f"{SAMPLES}/portrait.png", f"{SAMPLES}/speech.wav").strip()
    infer = product.services["infer-puppet"]
    until(lambda: infer.metric("lipstage_slots_busy") > 0, "infer works", infer.log)
    assert infer.stop(GRACE_S) == 0, infer.log()
    # No other infer service runs: the video is there because this one finished, or the task went on elsewhere.
    product.start("infer-puppet")
    product.cli("watch", job)
    (found,) = [json.loads(line) for line in product.cli("job", job, "--json").splitlines()]
    assert found["status"] == "done", found
