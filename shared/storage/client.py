"""The boto3 client: one per process, thread-safe, credentials and endpoint from the ``AWS_*`` variables."""

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from shared.storage.settings import StorageSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DEFAULT_REGION = "us-east-1"
"""Signing needs a region even where the store has none."""


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


def connect(settings: StorageSettings, *, attempts: int = 4, read_timeout_s: float = 10.0) -> "S3Client":
    """Make the client; no request is sent. ``attempts`` and ``read_timeout_s`` bound what one call may take.

    boto3's own CRC checksums stay off where S3 does not require them: references carry SHA-256, and the second sum
    costs 30 % of the CPU of a PUT and 75 % of a GET. Signing the payload as well is left out only towards plain HTTP
    on loopback, where nobody can alter it on the way.
    """
    session = boto3.session.Session()
    region = session.region_name or DEFAULT_REGION
    config = Config(
        connect_timeout=2,
        read_timeout=read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=settings.s3_connections,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": settings.s3_addressing},
    )
    client = session.client("s3", region_name=region, config=config)
    if not is_plain_loopback(client.meta.endpoint_url):
        return client
    client.close()
    unsigned = Config(s3={"addressing_style": settings.s3_addressing, "payload_signing_enabled": False})
    return session.client("s3", region_name=region, config=config.merge(unsigned))
