"""`lipstage doctor` where the deployment runs elsewhere: with the packages of the ops image, on the real parts."""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from packaging.requirements import Requirement

from shared.local import addresses, remote_deployment, stack_file
from shared.local import doctor as doctor_checks
from shared.local.machine import Check
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack
from shared.runtime.settings import RuntimeSettings
from shared.storage.bucket import ensure
from shared.storage.client import connect
from shared.storage.settings import StorageSettings
from tests.cli.conftest import NAMED, Ran
from tests.conftest import ROOT, Infrastructure

Doctor = Callable[..., Ran]


@pytest.fixture(scope="module")
def base_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with lipstage as a wheel installs it, and what it requires without any extra; links to nothing else."""
    folder = tmp_path_factory.mktemp("base")
    done: set[str] = set()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(line) for line in project["dependencies"]]
    while wanted:
        requirement = wanted.pop()
        name = requirement.name
        if name in done or (requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})):
            continue
        done.add(name)
        distribution = importlib.metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            if not (folder / top).exists():  # opentelemetry is a folder of many distributions.
                (folder / top).symlink_to(Path(str(distribution.locate_file(top))))
        wanted += [Requirement(line) for line in distribution.requires or ()]
    for ours in ("shared", "stages"):
        shutil.copytree(ROOT / ours, folder / ours, ignore=shutil.ignore_patterns("*.onnx", "*.npz", "__pycache__"))
    return folder


@pytest.fixture
def doctor(stack: Infrastructure, topic_prefix: str, base_packages: Path, tmp_path: Path) -> Doctor:
    """The command, with buckets and topics of its own that do not exist yet."""
    name = f"b-{uuid.uuid4().hex[:12]}"
    variables = {key: value for key, value in stack.environment.items() if key.startswith(("KAFKA", "AWS", "OTEL"))}
    variables |= {
        "LIPSTAGE_TOPIC_PREFIX": topic_prefix,
        "LIPSTAGE_BUCKET": name,
        "LIPSTAGE_INPUT_BUCKETS": json.dumps({"inputs": f"{name}-in"}),
        "LIPSTAGE_OUTPUT_BUCKETS": json.dumps({"films": f"{name}-out"}),
        "LIPSTAGE_STATE_DIR": str(tmp_path / "state"),
        "PYTHONPATH": str(base_packages),
        "PATH": "/nowhere",
    }
    kept = {key: value for key, value in os.environ.items() if key not in NAMED and not key.startswith("LIPSTAGE_")}

    def run(command: str = "doctor", **more: str) -> Ran:
        # -S: no package of this environment but those in PYTHONPATH.
        done = subprocess.run(
            [sys.executable, "-S", "-m", "shared.cli.main", *command.split(), "--json"],
            env=kept | variables | more, cwd=tmp_path, capture_output=True, text=True, timeout=200,
        )  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


def levels(ran: Ran) -> dict[str, str]:
    assert ran.out, ran.err
    return {check["name"]: check["level"] for check in ran.json}


def test_fine_deployment_ends_with_0_and_needs_no_part_of_a_local_stack(
    doctor: Doctor, topic_prefix: str, tmp_path: Path
) -> None:
    before = doctor()
    found = {check["name"]: check for check in before.json}
    assert before.code == 1
    assert (found["topics"]["level"], found["topics"]["fix"]) == ("fail", "lipstage topics apply")
    assert (found["store"]["level"], found["store"]["fix"]) == ("fail", "lipstage buckets apply")
    assert doctor("topics apply").code == 0
    assert doctor("buckets apply").code == 0
    fine = doctor()
    assert (fine.code, levels(fine)) == (
        0,
        dict.fromkeys(
            (
                "python",
                "package names",
                "variables",
                "broker",
                "topics",
                "tenants",
                "store",
                "buckets",
                "retention",
                "traces",
            ),
            "ok",
        ),
    )
    assert not (tmp_path / "state").exists(), "looking makes nothing"
    runtime = RuntimeSettings(topic_prefix=topic_prefix)
    admin = AdminClient({"bootstrap.servers": runtime.bootstrap_servers})
    admin.delete_consumer_groups([runtime.group("encode")])[runtime.group("encode")].result(30)
    forgotten = doctor()
    topics = next(check for check in forgotten.json if check["name"] == "topics")
    assert (forgotten.code, topics["level"]) == (1, "fail"), "the group has lost its offsets"
    assert "render.encode start_offsets" in topics["result"]


def test_absent_bucket_of_requests_is_named(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor("buckets apply").code == 0
    ran = doctor(LIPSTAGE_INPUT_BUCKETS='{"inputs": "nobody-has-this"}', LIPSTAGE_OUTPUT_BUCKETS='{"o": "nor-this"}')
    found = {(check["level"], check["result"], check["fix"]) for check in ran.json if check["name"] == "buckets"}
    assert found == {
        ("fail", "there is no input bucket nobody-has-this", "lipstage buckets apply"),
        ("fail", "there is no output bucket nor-this", "lipstage buckets apply"),
    }


def test_buckets_without_endpoint_are_those_of_amazon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*NAMED, *remote_deployment.OBJECT_STORE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "theirs:9092")
    named = stack_file.fresh(tmp_path)
    addresses.mark_own(LocalSettings(), named)
    assert not remote_deployment.is_remote(named), "an own broker beside a local store"
    monkeypatch.setenv("LIPSTAGE_BUCKET", "mine")
    assert remote_deployment.is_remote(named)


def test_amazon_is_asked_and_not_the_store_of_a_stack_that_has_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in (*NAMED, *remote_deployment.OBJECT_STORE, "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    variables = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "LIPSTAGE_BUCKET": "mine", "AWS_DEFAULT_REGION": "eu-west-3"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    ended = stack_file.fresh(tmp_path)
    ended.s3_endpoint_url = "http://127.0.0.1:1"
    ended.save()
    asked: list[Stack] = []
    monkeypatch.setattr(doctor_checks, "_store", lambda named: [asked.append(named), Check("store", "fail", "-")][1:])
    monkeypatch.setattr(doctor_checks, "_broker", lambda *_: [])
    doctor_checks.doctor(LocalSettings(state_dir=tmp_path))
    (named,) = asked
    assert (named.s3_endpoint_url, named.region, named.own_store) == ("", "eu-west-3", True)


def test_clock_that_differs_from_the_stores_is_a_warning(
    stack: Infrastructure, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(StorageSettings())
    ensure(client, StorageSettings())
    bucket = StorageSettings().bucket
    assert remote_deployment._clock(client, bucket) == []
    monkeypatch.setattr(remote_deployment, "CLOCK_S", -1)
    (check,) = remote_deployment._clock(client, bucket)
    assert (check.name, check.level) == ("clock", "warn")
