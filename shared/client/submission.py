"""Submits a job: both files to the input bucket, then one record on ``render.requests``. Sends cancel commands."""

import hashlib
import mimetypes
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from confluent_kafka import KafkaError, KafkaException, Message
from opentelemetry.trace import SpanKind

from shared.client.connection import Connection
from shared.client.errors import (
    BrokerUnreachable,
    InputBucketMissing,
    InvalidRequest,
    RecordRefused,
    StoreUnreachable,
)
from shared.client.job_key import JobKey
from shared.client.job_spec import JobSpec
from shared.messages.cancel import CancelCommand
from shared.messages.identity import request_id
from shared.messages.refs import InputRef
from shared.messages.topics import CANCEL, REQUESTS
from shared.storage.errors import StoreUnavailable, store_errors
from shared.storage.streams import HashingReader

INPUT_ALIAS = "inputs"
UPLOADED_BY = {"uploaded-by": "lipstage-client"}
"""Object metadata of every upload: a purge deletes no other input."""
MULTIPART_BYTES = 64 << 20
PART_BYTES = 16 << 20
DELIVERY_S = 35.0
"""Longer than the producer's delivery.timeout.ms, so that its report comes first."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A request that the broker has stored."""

    key: JobKey
    request_id: str
    """Id of this very record: two requests under one job id differ in it."""
    trace_id: str
    """32 hex digits."""
    body_sha256: str

    @property
    def job_id(self) -> str:
        """Id of the job it asks for."""
        return self.key.job_id

    @property
    def tenant(self) -> str:
        """Tenant of that job."""
        return self.key.tenant


def submit(connection: Connection, spec: JobSpec) -> Submission:
    """Upload both files and send the request; returns once the broker has the record.

    Raises StoreUnreachable, BrokerUnreachable, RecordRefused, InputBucketMissing, InvalidRequest for a file that can't
    be read any more.
    """
    topic = connection.topic(REQUESTS)
    tracer = connection.tracing.tracer
    with tracer.start_as_current_span(f"submit {REQUESTS}", kind=SpanKind.INTERNAL) as span:
        span.set_attribute("render.job", spec.key.job_id)
        span.set_attribute("tenant", spec.key.tenant)
        # A fresh folder: object keys do not reveal file names.
        folder = f"{spec.key.tenant}/{uuid.uuid4().hex}"
        with tracer.start_as_current_span("artifact.put", attributes={"artifact.role": "portrait"}):
            portrait = upload(connection, spec.portrait, f"{folder}/portrait")
        with tracer.start_as_current_span("artifact.put", attributes={"artifact.role": "speech"}):
            speech = upload(connection, spec.speech, f"{folder}/speech")
        request = spec.request(portrait, speech)
        value = request.model_dump_json(exclude_none=True, exclude_defaults=True).encode()
        partition, offset = send(connection, topic, spec.key.job_id, value)
        trace_id = format(span.get_span_context().trace_id, "032x")
    record_id = request_id(topic, partition, offset, value)
    return Submission(spec.key, record_id, trace_id, hashlib.sha256(value).hexdigest())


def cancel(connection: Connection, job: JobKey) -> None:
    """Send a cancel command to every service. Raises BrokerUnreachable, RecordRefused."""
    command, time_ms = CancelCommand(job.tenant, job.job_id), int(time.time() * 1000)
    send(connection, connection.topic(CANCEL), command.key().decode(), command.encode(time_ms))


def upload(connection: Connection, path: Path, key: str) -> InputRef:
    """Put one file into the input bucket; the reference holds the digest computed while it was sent.

    Raises InputBucketMissing, InvalidRequest for a file that can't be read, StoreUnreachable.
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
                key,
                ExtraArgs={"ContentType": content_type, "Metadata": UPLOADED_BY},
                Config=TransferConfig(MULTIPART_BYTES, multipart_chunksize=PART_BYTES, use_threads=False),
            )
            digest = body.digest
    except StoreUnavailable as e:
        answered = isinstance(e.__cause__, ClientError)
        raise StoreUnreachable(str(e), "check AWS_* and LIPSTAGE_INPUT_BUCKETS" if answered else None) from None
    except OSError as e:  # The file was there when the job spec was made.
        raise InvalidRequest(f"{path} can't be read: {e.strerror or e}") from None
    return InputRef(bucket=INPUT_ALIAS, key=key, sha256=digest.sha256, size=digest.size)


def send(connection: Connection, topic: str, key: str, value: bytes) -> tuple[int, int]:
    """Produce one record and wait for its delivery report; returns partition and offset.

    Raises BrokerUnreachable, RecordRefused.
    """
    reports: list[tuple[KafkaError | None, Message]] = []
    try:
        connection.producer.produce(
            topic=topic,
            key=key.encode(),
            value=value,
            headers=[("content-type", b"application/json")],
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
