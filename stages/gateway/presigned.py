"""URLs by which a client talks to the object store itself, for a limited time: of one upload, and of one result."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from botocore.config import Config

from shared.client import Deployment, InputBucketMissing
from shared.client.uploads import INPUT_ALIAS, POSTED
from shared.messages.refs import InputRef

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class PostedUpload:
    """Where a client posts one file, and what it names it by."""

    url: str
    fields: Mapping[str, str]
    """Of the form, before the file."""
    expires_ms: int
    """Milliseconds since the epoch."""
    reference: InputRef


class Presigned:
    """Makes such URLs. They are signed on this machine: nothing is asked."""

    def __init__(self, deployment: Deployment, valid_s: int, public_endpoint: str) -> None:
        """``public_endpoint`` is the address under which clients reach the object store; empty: as this process."""
        self._deployment = deployment
        self._valid_s = valid_s
        self._public_endpoint = public_endpoint

    @cached_property
    def _s3(self) -> "S3Client":
        """Signs by version 4: the conditions of an upload are not known to version 2."""
        access, storage = self._deployment.s3, self._deployment.storage
        config = Config(signature_version="s3v4", s3={"addressing_style": storage.s3_addressing})
        endpoint = self._public_endpoint or access.endpoint_url
        return access.session().client("s3", endpoint_url=endpoint, region_name=access.signing_region(), config=config)

    def upload(self, tenant: str, size: int, content_type: str) -> PostedUpload:
        """An upload of exactly ``size`` bytes to a new object of the tenant. Raises InputBucketMissing."""
        bucket = self._deployment.storage.input_buckets.get(INPUT_ALIAS)
        if bucket is None:
            raise InputBucketMissing(
                f"files are uploaded to the input bucket {INPUT_ALIAS!r}, and none is configured",
                "see LIPSTAGE_INPUT_BUCKETS",
            )
        key = f"{tenant}/{POSTED}/{uuid.uuid4().hex}"
        fields = {"Content-Type": content_type}
        conditions: list[object] = [["content-length-range", size, size], fields]
        made = self._s3.generate_presigned_post(bucket, key, fields, conditions, self._valid_s)
        expires_ms = int((time.time() + self._valid_s) * 1000)
        return PostedUpload(made["url"], made["fields"], expires_ms, InputRef(bucket=INPUT_ALIAS, key=key, size=size))

    def result(self, bucket: str, key: str, headers: Mapping[str, str], *, head: bool) -> str:
        """The URL of an object; ``headers`` are of its answer: Content-Type, Content-Disposition."""
        given = {f"Response{name.replace('-', '')}": text for name, text in headers.items() if not head}
        method = "head_object" if head else "get_object"
        return self._s3.generate_presigned_url(method, {"Bucket": bucket, "Key": key, **given}, self._valid_s)
