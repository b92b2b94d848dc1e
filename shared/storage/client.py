"""The boto3 client: endpoint, credentials (``AWS_*``), time-outs and attempts of a call. One per process.

boto3 is imported with the first client: it takes 0.1 s, and many commands make none.
"""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.storage.settings import StorageSettings

if TYPE_CHECKING:
    import boto3
    from boto3.s3.transfer import TransferConfig
    from botocore.loaders import Loader
    from mypy_boto3_s3 import S3Client

DEFAULT_REGION = "us-east-1"
"""Signing needs a region even where the object store has none."""
ATTEMPTS = 4
"""Attempts of one call."""
CONNECT_S = 2
"""Time limit of a connection, seconds."""
MULTIPART_BYTES = 64 << 20
"""Larger files are uploaded in parts; smaller ones in one PUT, which is faster on a single node."""
PART_BYTES = 16 << 20
REGION = "AWS_REGION"
"""The name that AWS's other SDKs and its platforms use; boto3 itself reads AWS_DEFAULT_REGION alone."""


@dataclass(frozen=True, slots=True)
class S3Access:
    """Endpoint, region and key pair of the object store; what is None comes from boto3's own configuration."""

    endpoint_url: str | None = None
    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)

    def session(self) -> "boto3.session.Session":
        """A boto3 session. With a key pair of its own it ignores AWS_PROFILE, which may be of another store."""
        import boto3
        import botocore.session

        variables = {"profile": (None, None, None, None)} if self.access_key else None
        session = botocore.session.Session(session_vars=variables)
        session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
        return boto3.session.Session(
            botocore_session=session,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region or os.environ.get(REGION) or None,
        )

    def signing_region(self) -> str:
        """The region of requests and of new buckets: ``region``, AWS_REGION, AWS_DEFAULT_REGION, that of the profile,
        else us-east-1; the first that is not empty. Raises ProfileNotFound."""
        return self.session().region_name or DEFAULT_REGION


@cache
def _loader(data_path: str | None) -> "Loader":
    """Botocore's descriptions of services, parsed once in a process: every further client takes a quarter of the time
    (29 for 110 ms)."""
    from botocore.loaders import create_loader

    return create_loader(data_path)


FROM_ENVIRONMENT = S3Access()
"""Everything as boto3 finds it."""


def is_plain_loopback(url: str) -> bool:
    """Whether the endpoint is unencrypted HTTP to this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "http":
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def connect(
    settings: StorageSettings,
    *,
    access: S3Access = FROM_ENVIRONMENT,
    attempts: int = ATTEMPTS,
    read_timeout_s: float = 10.0,
) -> "S3Client":
    """Construct the client without sending a request. ``attempts`` and ``read_timeout_s`` bound the time of one call.

    boto3's CRC checksums are off where S3 does not require them: references carry SHA-256, and the second checksum
    costs 30 % of the CPU time of a PUT and 75 % of a GET. Payload signing is off only for plain HTTP on loopback, where
    the payload can't be altered in transit.
    """
    from botocore.config import Config

    session = access.session()
    region = session.region_name or DEFAULT_REGION
    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=settings.s3_connections,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": settings.s3_addressing},
    )
    unsigned = config.merge(Config(s3={"addressing_style": settings.s3_addressing, "payload_signing_enabled": False}))

    def client(config: Config) -> "S3Client":
        return session.client("s3", endpoint_url=access.endpoint_url, region_name=region, config=config)

    named = access.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    # Each client takes 50 ms: the likely one first. What boto3 itself makes of its configuration decides.
    made = client(unsigned if named and is_plain_loopback(named) else config)
    options: Mapping[str, Any] = getattr(made.meta.config, "s3", None) or {}
    if is_plain_loopback(made.meta.endpoint_url) == (options.get("payload_signing_enabled") is False):
        return made
    made.close()
    return client(unsigned if is_plain_loopback(made.meta.endpoint_url) else config)


def transfer_config() -> "TransferConfig":
    """How a large file is uploaded: in parts and in the caller's thread. Parts of other threads would leave the
    caller's trace, and could not be digested."""
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(MULTIPART_BYTES, multipart_chunksize=PART_BYTES, use_threads=False)
