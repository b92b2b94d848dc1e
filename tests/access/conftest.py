"""A stack with credentials, beside the session's, which has none: `up --secure`."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shared.local import access, access_files
from shared.local import stack as local
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack
from shared.local.supervision import Supervisor
from shared.runtime.properties_file import read_properties
from shared.storage.client import S3Access
from tests.conftest import ROOT

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

STACK = ("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_PROPERTIES_FILE", "AWS_ENDPOINT_URL_S3", "OTEL_EXPORTER_OTLP_ENDPOINT",
         "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "LIPSTAGE_STATE_DIR", "LIPSTAGE_TOPIC_PREFIX",
         "LIPSTAGE_OUTPUT_BUCKETS", "LIPSTAGE_BUCKET")  # fmt: skip
"""Variables of the session's stack, which must not lead to this one's parts."""


@dataclass(frozen=True)
class Secure:
    """A running stack with credentials."""

    settings: LocalSettings
    stack: Stack

    def s3(self, service: str) -> "S3Client":
        """The object store, as a service."""
        from botocore.config import Config

        found = access._secrets(self.settings.state, service)
        entry = S3Access(self.stack.s3_endpoint_url, self.stack.region, found["access_key"], found["secret_key"])
        config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0})
        return entry.session().client("s3", endpoint_url=entry.endpoint_url, region_name=entry.region, config=config)

    def kafka(self, service: str) -> dict[str, str]:
        """Properties with which a service reaches the broker."""
        found = read_properties(access_files.properties_file(self.settings.state, service))
        return {"bootstrap.servers": self.stack.bootstrap_servers, **found}

    @property
    def supervisor(self) -> Supervisor:
        return self.stack.supervisor()


@contextmanager
def environment() -> Iterator[None]:
    """The variables with which this stack is started."""
    with pytest.MonkeyPatch.context() as patch:
        for name in STACK:
            patch.delenv(name, raising=False)
        patch.setenv("LIPSTAGE_OUTPUT_BUCKETS", '{"videos": "lipstage-videos"}')
        yield


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """Broker, object store and trace receiver, and no services yet. Of one module: a stack that idles until the end of
    the session takes more of the machine than two more starts."""
    jars = Path(os.environ.get("LIPSTAGE_JARS_DIR", ROOT / ".lipstage" / "jars"))
    with environment():
        settings = LocalSettings(state_dir=tmp_path_factory.mktemp("secure"), jars_dir=jars, start_timeout_s=180)
        started = local.up(settings, services=False, secure=True)
    try:
        yield Secure(settings, started)
    finally:
        local.down(settings, purge=True)


@pytest.fixture(scope="module")
def s3(secure: Secure) -> "Callable[[str], S3Client]":
    """The object store as a service, by its name; one client for each."""
    made: dict[str, S3Client] = {}

    def client(service: str) -> "S3Client":
        if service not in made:
            made[service] = secure.s3(service)
        return made[service]

    return client
