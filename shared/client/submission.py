"""Submits a job: both files to the input bucket, then one record on ``render.requests``.

The same files and fields under the same job id make the same record, so a repeated submission is recognised: by this
client before anything is uploaded, and by the services.
"""

import hashlib
import mimetypes
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from confluent_kafka import KafkaError, KafkaException, Message
from opentelemetry.context import Context, get_current
from opentelemetry.trace import get_current_span

from shared.client import history
from shared.client.connection import Connection
from shared.client.earlier_requests import EarlierRequests
from shared.client.errors import (
    BrokerUnreachable,
    InputBucketMissing,
    InvalidRequest,
    JobConflict,
    RecordRefused,
    StoreUnreachable,
)
from shared.client.job_key import JobKey
from shared.client.job_spec import JobSpec
from shared.messages.engines import DEFAULT_ENGINE
from shared.messages.headers import Header
from shared.messages.identity import request_id
from shared.messages.refs import InputRef
from shared.messages.topics import REQUESTS
from shared.storage.errors import StoreUnavailable, store_errors
from shared.storage.markers import RequestRecord
from shared.storage.streams import HashingReader
from shared.telemetry import carriers
from shared.telemetry.attributes import registered, set_attributes
from shared.telemetry.failing import work_span

INPUT_ALIAS = "inputs"
UPLOADED_BY = {"uploaded-by": "lipstage-client"}
"""Object metadata of every upload: a purge deletes no other input."""
MULTIPART_BYTES = 64 << 20
PART_BYTES = 16 << 20
CONTENT_TYPE: Header = ("content-type", b"application/json")
DELIVERY_S = 35.0
"""Longer than the producer's delivery.timeout.ms, so that its report comes first."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A request that the broker has stored, now or at an earlier submission."""

    key: JobKey
    request_id: str
    """Id of this very record: two requests under one job id differ in it."""
    trace_id: str
    """32 hex digits; empty when the request was not sent now."""
    body_sha256: str
    engine: str = DEFAULT_ENGINE
    is_repeat: bool = False
    """True: the same request was submitted before, and was not sent again."""

    @property
    def job_id(self) -> str:
        """Id of the job it asks for."""
        return self.key.job_id

    @property
    def tenant(self) -> str:
        """Tenant of that job."""
        return self.key.tenant


def submit(connection: Connection, spec: JobSpec, earlier_requests: EarlierRequests) -> Submission:
    """Upload both files and send the request; returns once the broker has the record.

    A job id that is in use is found first: a repeat of the same request sends nothing. Raises
    JobConflict for the id of another request, JobPurged, StoreUnreachable, BrokerUnreachable, RecordRefused,
    InputBucketMissing, InvalidRequest for a file that can't be read any more.
    """
    topic = connection.topic(REQUESTS)
    tracer = connection.tracing.tracer
    with work_span(tracer, f"submit {REQUESTS}", context=_caller()) as span:
        set_attributes(span, {"render.job": spec.key.job_id, "tenant": spec.key.tenant})
        refs = [_reference(spec, path) for path in (spec.portrait, spec.speech)]
        value = _value(spec, refs)
        earlier = _earlier(earlier_requests.find(spec), spec, value)
        if earlier is not None:
            return earlier
        for role, path, ref in zip(("portrait", "speech"), (spec.portrait, spec.speech), refs, strict=True):
            with work_span(tracer, "artifact.put", registered({"artifact.role": role})):
                upload(connection, path, ref)
        partition, offset = send(connection, topic, spec.key.job_id, value)
        trace_id = format(span.get_span_context().trace_id, "032x")
    record_id = request_id(topic, partition, offset, value)
    return Submission(spec.key, record_id, trace_id, hashlib.sha256(value).hexdigest(), spec.engine)


def _caller() -> Context:
    """The parent of the submission's span: the program's current span, else the one that started the program."""
    return get_current() if get_current_span().get_span_context().is_valid else carriers.of_environment()


def _value(spec: JobSpec, refs: Sequence[InputRef]) -> bytes:
    return spec.request(*refs).model_dump_json(exclude_none=True, exclude_defaults=True).encode()


def _earlier(record: RequestRecord | None, spec: JobSpec, value: bytes) -> Submission | None:
    """The submission that ``record`` is of, for the same request; None without one. Raises JobConflict, JobPurged."""
    job = spec.key
    if record is None:
        return None
    if record.purged_ms is not None:
        raise history.purged(job, record.purged_ms)
    if record.body_sha256 != hashlib.sha256(value).hexdigest():
        raise JobConflict(f"there is another job {job.job_id}: its files, parameters or batch differ; nothing was sent")
    return Submission(job, record.request_id, "", record.body_sha256, spec.engine, is_repeat=True)


def _reference(spec: JobSpec, path: Path) -> InputRef:
    """Where a file goes: under its job and its digest, so that object keys do not reveal file names.

    Raises InvalidRequest for a file that can't be read.
    """
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
    except OSError as e:  # The file was there when the job spec was made.
        raise InvalidRequest(f"{path} can't be read: {e.strerror or e}") from None
    if size == 0:
        raise InvalidRequest(f"{path} is empty")
    return InputRef(bucket=INPUT_ALIAS, key=f"{spec.key.tenant}/{spec.key.job_id}/{sha256}", sha256=sha256, size=size)


def upload(connection: Connection, path: Path, ref: InputRef) -> None:
    """Put one file into the input bucket.

    Raises InputBucketMissing, InvalidRequest for a file that can't be read or is another one than ``ref`` describes,
    StoreUnreachable.
    """
    bucket = connection.storage_settings.input_buckets.get(INPUT_ALIAS)
    if bucket is None:
        raise InputBucketMissing(
            f"files are uploaded to the input bucket {INPUT_ALIAS!r}, and none is configured",
            "see LIPSTAGE_INPUT_BUCKETS",
        )
    content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    try:
        with HashingReader(path) as body, store_errors(f"uploading {path.name}"):
            connection.s3.upload_fileobj(
                body,
                bucket,
                ref.key,
                ExtraArgs={"ContentType": content_type, "Metadata": UPLOADED_BY},
                Config=TransferConfig(MULTIPART_BYTES, multipart_chunksize=PART_BYTES, use_threads=False),
            )
            digest = body.digest
    except StoreUnavailable as e:
        answered = isinstance(e.__cause__, ClientError)
        raise StoreUnreachable(str(e), "check AWS_* and LIPSTAGE_INPUT_BUCKETS" if answered else None) from None
    except OSError as e:
        raise InvalidRequest(f"{path} can't be read: {e.strerror or e}") from None
    if digest.sha256 != ref.sha256:
        raise InvalidRequest(f"{path} changed while it was sent", "submit it again when it is complete")


def send(
    connection: Connection, topic: str, key: str, value: bytes, headers: Sequence[Header] = (CONTENT_TYPE,)
) -> tuple[int, int]:
    """Produce one record and wait for its delivery report; returns partition and offset.

    Raises BrokerUnreachable, RecordRefused.
    """
    reports: list[tuple[KafkaError | None, Message]] = []
    try:
        connection.producer.produce(
            topic=topic,
            key=key.encode(),
            value=value,
            headers=list(headers),
            on_delivery=lambda error, message: reports.append((error, message)),
        )
    except KafkaException as e:
        raise RecordRefused(f"the record can't be sent: {e.args[0].str()}") from None
    deadline = time.monotonic() + DELIVERY_S
    while not reports and time.monotonic() < deadline:
        connection.producer.poll(0.1)
    if not reports:
        raise BrokerUnreachable(f"the broker did not confirm the record on {topic}")
    error, message = reports[0]
    if error is not None:
        if error.code() in (KafkaError._MSG_TIMED_OUT, KafkaError._TRANSPORT):
            raise BrokerUnreachable(f"the broker did not confirm the record on {topic}")
        hint = "create the topics with `lipstage topics apply`" if "unknown" in error.str().lower() else None
        raise RecordRefused(f"the broker refused the record on {topic}: {error.str()}", hint)
    return message.partition() or 0, message.offset() or 0
