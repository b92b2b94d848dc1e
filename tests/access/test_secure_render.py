"""`up --secure`: the services render with a credential each; its files are for their owner only."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.client import Client
from shared.local import access, access_files
from shared.local import stack as local
from shared.local.deployment import deployment_of
from shared.local.stack_file import Stack
from tests.access.conftest import Secure, environment
from tests.conftest import ROOT

PRIVATE = ("access", "store-security")


@pytest.fixture(scope="module")
def services(secure: Secure) -> Iterator[Stack]:
    with environment():
        yield local.up(secure.settings)


def test_sample_is_rendered(services: Stack, tmp_path: Path) -> None:
    with environment(), Client(deployment_of(services)) as client:
        spec = client.job_spec(
            ROOT / "samples" / "portrait.png",
            ROOT / "samples" / "speech.wav",
            output={"bucket": "videos", "prefix": "default/films", "preview": True},
        )
        end = client.render(spec)
        assert end.type == "done", end
        client.download(end.video, tmp_path / "video.mp4")
    assert (tmp_path / "video.mp4").stat().st_size > 10_000
    refused = [line for log in (services.state_dir / "logs").glob("*.log") for line in log.read_text().splitlines()
               if "AUTHORIZATION" in line or "AccessDenied" in line or "best_effort_failed" in line]  # fmt: skip
    assert refused == []


def test_service_has_its_own_credentials_and_no_other(services: Stack) -> None:
    pids = {program.name: program.pid for program in services.supervisor().programs()}
    for record in services.services:
        entries = Path(f"/proc/{pids[record.name]}/environ").read_bytes().decode().split("\0")
        variables = dict(entry.partition("=")[::2] for entry in entries)
        own = access._secrets(services.state_dir, record.stage)
        assert variables["AWS_SECRET_ACCESS_KEY"] == own["secret_key"]
        assert variables["KAFKA_PROPERTIES_FILE"] == str(access_files.properties_file(services.state_dir, record.stage))
        others = [access._secrets(services.state_dir, name)["secret_key"] for name in ("operator", "client")]
        assert not any(secret in entry for secret in others for entry in entries)


def test_files_with_secrets_are_for_their_owner(services: Stack) -> None:
    files = [path for name in PRIVATE for path in (services.state_dir / name).iterdir()]
    files += [services.state_dir / "secrets.json", services.state_dir / "kafka" / "server.properties"]
    assert len(files) > 15
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert path.stat().st_uid == os.getuid()


def test_secrets_are_in_no_log_and_no_command_line(services: Stack) -> None:
    names = ("audio", "infer", "operator", "relay")
    secrets = [access._secrets(services.state_dir, name)[field].encode()
               for name in names for field in ("secret_key", access.PASSWORD)]  # fmt: skip
    texts = [log.read_bytes() for log in (services.state_dir / "logs").iterdir()]
    texts += [Path(f"/proc/{p.pid}/cmdline").read_bytes() for p in services.supervisor().programs() if p.pid]
    texts += [(services.state_dir / "stack.json").read_bytes()]
    assert not any(secret in text for secret in secrets for text in texts)
