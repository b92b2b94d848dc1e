"""Hand an order over: both files to the input bucket, then one record on ``render.requests``."""

import hashlib
import mimetypes
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from boto3.s3.transfer import TransferConfig
from confluent_kafka import KafkaError, KafkaException, Message
from opentelemetry.trace import SpanKind

from shared.cli.connection import Connection
from shared.cli.errors import BadUse, CliError, Unreachable
from shared.cli.events import Job
from shared.cli.order import Order
from shared.messages.cancel import CancelCommand
from shared.messages.identity import request_id
from shared.messages.refs import InputRef
from shared.messages.topics import CANCEL, REQUESTS
from shared.storage.errors import StoreUnavailable, store_errors
from shared.storage.streams import HashingReader

ALIAS = "inputs"
UPLOADED_BY = {"uploaded-by": "lipstage-cli"}
"""Metadata of what this command line uploads: `purge` deletes no other input."""
MULTIPART_BYTES = 64 << 20
PART_BYTES = 16 << 20
DELIVERY_S = 35.0


@dataclass(frozen=True, slots=True)
class Submitted:
    """A request that is on the broker."""

    tenant: str
    job_id: str
    request_id: str
    trace_id: str
    body_sha256: str

    @property
    def job(self) -> Job:
        """The job it asks for."""
        return Job(self.tenant, self.job_id)


def upload(connection: Connection, path: Path, key: str) -> InputRef:
    """Put one file into the input bucket; the reference carries the digest taken while it was sent."""
    bucket = connection.storage_settings.input_buckets.get(ALIAS)
    if bucket is None:
        raise BadUse(f"files are uploaded to the input bucket {ALIAS!r}; there is none", "see LIPSTAGE_INPUT_BUCKETS")
    content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    with HashingReader(path) as body, store_errors(f"uploading {path.name}"):
        connection.s3.upload_fileobj(
            body,
            bucket,
            key,
            ExtraArgs={"ContentType": content_type, "Metadata": UPLOADED_BY},
            Config=TransferConfig(MULTIPART_BYTES, multipart_chunksize=PART_BYTES, use_threads=False),
        )
        digest = body.digest
    return InputRef(bucket=ALIAS, key=key, sha256=digest.sha256, size=digest.size)


def submit(connection: Connection, order: Order) -> Submitted:
    """Upload and send; returns once the broker has the record.

    Raises Unreachable when broker or store does not take it, CliError when the broker refuses it, BadUse when no bucket
    is there to upload to.
    """
    topic = connection.settings.topic(REQUESTS)
    tracer = connection.tracing.tracer
    with tracer.start_as_current_span(f"submit {REQUESTS}", kind=SpanKind.INTERNAL) as span:
        span.set_attribute("render.job", order.job_id)
        span.set_attribute("tenant", order.tenant)
        # A folder of their own: the keys tell nothing of the file names.
        folder = f"{order.tenant}/{uuid.uuid4().hex}"
        try:
            with tracer.start_as_current_span("artifact.put", attributes={"artifact.role": "portrait"}):
                portrait = upload(connection, order.portrait, f"{folder}/portrait")
            with tracer.start_as_current_span("artifact.put", attributes={"artifact.role": "speech"}):
                speech = upload(connection, order.speech, f"{folder}/speech")
        except StoreUnavailable as e:
            raise Unreachable(str(e)) from None
        request = order.request(portrait, speech)
        value = request.model_dump_json(exclude_none=True, exclude_defaults=True).encode()
        partition, offset = send(connection, topic, order.job_id, value)
        trace = format(span.get_span_context().trace_id, "032x")
    mine = request_id(topic, partition, offset, value)
    return Submitted(order.tenant, order.job_id, mine, trace, hashlib.sha256(value).hexdigest())


def cancel(connection: Connection, job_id: str, tenant: str) -> None:
    """Ask every service to give the job up. Raises Unreachable."""
    command, time_ms = CancelCommand(tenant, job_id), int(time.time() * 1000)
    send(connection, connection.settings.topic(CANCEL), command.key().decode(), command.encode(time_ms))


def send(connection: Connection, topic: str, key: str, value: bytes) -> tuple[int, int]:
    """Produce one record and wait for the broker's report; returns its partition and offset."""
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
        raise CliError(f"the record can't be sent: {e.args[0].str()}") from None
    deadline = time.monotonic() + DELIVERY_S
    while not reports and time.monotonic() < deadline:
        connection.producer.poll(0.1)
    if not reports:
        raise Unreachable(f"the broker did not confirm the record on {topic}")
    error, message = reports[0]
    if error is not None:
        if error.code() in (KafkaError._MSG_TIMED_OUT, KafkaError._TRANSPORT):
            raise Unreachable(f"the broker did not confirm the record on {topic}")
        hint = "create the topics with `lipstage topics apply`" if "unknown" in error.str().lower() else None
        raise CliError(f"the broker refused the record on {topic}: {error.str()}", hint)
    return message.partition() or 0, message.offset() or 0
