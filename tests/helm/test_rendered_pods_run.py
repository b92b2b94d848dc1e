"""The rendered pods run: each is started as a process against the real broker and the real object store.

So arguments, variables, files, ports and probes of the chart are those of the code.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.access import api_keys
from shared.local import ports
from tests.conftest import ROOT, Infrastructure, temporary_topics
from tests.helm.cases import with_defaults
from tests.helm.chart import Object, render
from tests.helm.objects import named
from tests.helm.pod_process import PodProcess

STAGES = ["audio", "face", "infer-puppet", "encode", "relay", "projection", "gateway", "webhooks"]


class Release:
    """A rendered release on this machine, in a folder of its own."""

    def __init__(self, stack: Infrastructure, prefix: str, folder: Path) -> None:
        (port,) = ports.pick(1, set())
        self.objects = render(
            with_defaults(
                kafka={"bootstrapServers": stack.bootstrap_servers, "topicPrefix": prefix, "workPartitions": 4},
                s3={
                    "endpointUrl": stack.s3_endpoint_url,
                    "bucket": f"{prefix.strip('.')}-artifacts",
                    "inputBuckets": {"inputs": f"{prefix.strip('.')}-inputs"},
                },
                telemetry={"endpoint": stack.environment["OTEL_EXPORTER_OTLP_ENDPOINT"]},
                stages={name: {"enabled": True} for name in ("projection", "gateway", "webhooks")},
                keys={"webhookKey": "webhook-key"},
                gateway={"keysSecret": {"name": "lipstage-api-keys"}},
                projection={"port": port},
            )
        )
        self.folder = folder
        self.ports = {port: port}
        self.secrets = {
            "lipstage-s3": {
                "access-key-id": stack.environment["AWS_ACCESS_KEY_ID"],
                "secret-access-key": stack.environment["AWS_SECRET_ACCESS_KEY"],
            },
            "lipstage-keys": {
                "cache-key": "0123456789abcdef",
                "hash-key": "k1:0123456789abcdef",
                "webhook-key": "0123456789abcdef0123456789abcdef",
            },
        }
        api_keys.write(folder / "keys.jsonl", [api_keys.make("acme", "user")[0]])
        self.secrets["lipstage-api-keys"] = {"keys.jsonl": (folder / "keys.jsonl").read_text()}

    def process(self, kind: str, name: str) -> PodProcess:
        one: Object = named(self.objects, kind, f"demo-{name}")
        pod = one if kind == "Pod" else one["spec"]["template"]
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return PodProcess(pod, self.objects, self.secrets, folder, dict(self.ports))


@pytest.fixture(scope="module")
def release(stack: Infrastructure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """A release whose hooks have run."""
    with temporary_topics(stack.bootstrap_servers) as prefix:
        found = Release(stack, prefix, tmp_path_factory.mktemp("release"))
        for job in ("buckets", "topics"):
            found.process("Job", job).run()
        yield found


@pytest.fixture(scope="module")
def services(release: Release) -> Iterator[dict[str, PodProcess]]:
    """All services at a time, ready."""
    started = {name: release.process("Deployment", name) for name in STAGES}
    try:
        for one in started.values():
            one.start()
        for one in started.values():
            one.wait_for("startup")
            one.wait_for("readiness")
        yield started
    finally:
        for one in started.values():
            one.kill()


@pytest.mark.parametrize("job", ["buckets", "topics"])
def test_job_has_nothing_to_do_a_second_time(release: Release, job: str) -> None:
    again = release.process("Job", job)
    again.run()
    assert "nothing to change" in again.log


@pytest.mark.parametrize("stage", STAGES)
def test_service_is_live_and_ready_by_its_probes(services: dict[str, PodProcess], stage: str) -> None:
    for probe in ("startup", "readiness", "liveness"):
        assert services[stage].probe(probe) == 200


def test_helm_test_passes_while_no_replica_runs(release: Release) -> None:
    """A stage that is scaled to zero, and has no work, is no fault."""
    release.process("Pod", "doctor").run()


def test_helm_test_passes(services: dict[str, PodProcess], release: Release) -> None:
    """`lipstage doctor` of a pod finds no fault in a deployment that works."""
    release.process("Pod", "doctor").run()


def test_helm_test_fails_where_a_topic_is_missing(services: dict[str, PodProcess], release: Release) -> None:
    doctor = release.process("Pod", "doctor")
    doctor.start("doctor", LIPSTAGE_TOPIC_PREFIX="nobodys.")
    assert doctor.process is not None
    assert doctor.process.wait(120) == 1, doctor.log
    assert "nobodys.render.requests" in doctor.log


def test_a_video_is_rendered(services: dict[str, PodProcess], release: Release) -> None:
    """With the variables of the command line's pod."""
    ops = release.process("Pod", "doctor")
    portrait, speech = ROOT / "samples" / "portrait.png", ROOT / "samples" / "speech.wav"
    out = release.folder / "video.mp4"
    ops.run("render", str(portrait), str(speech), "-o", str(out))
    assert out.read_bytes()[4:8] == b"ftyp"


@pytest.mark.parametrize("stage", STAGES)
def test_service_ends_within_its_grace_period(services: dict[str, PodProcess], stage: str) -> None:
    """The last test of the module: it stops the services."""
    assert services[stage].stop() == 0, services[stage].log


def test_scratch_folder_is_all_that_a_service_writes(services: dict[str, PodProcess]) -> None:
    for one in services.values():
        written = {path.relative_to(one.folder).parts[0] for path in one.folder.rglob("*") if path.is_file()}
        assert written <= {"scratch", "tmp", "etc", "log"}
