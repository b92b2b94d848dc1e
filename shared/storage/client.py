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
"""Signing needs a region even where the object store has none."""


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
    """Construct the client without sending a request. ``attempts`` and ``read_timeout_s`` bound the time of one call.

    boto3's CRC checksums are off where S3 does not require them: references carry SHA-256, and the second checksum
    costs 30 % of the CPU time of a PUT and 75 % of a GET. Payload signing is off only for plain HTTP on loopback, where
    the payload can't be altered in transit.
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
