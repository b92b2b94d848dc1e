"""Submits a job: its files to the input bucket, then one record on the topic of requests of its lane.

The same files and fields under the same job id make the same record, so a repeated submission is recognised: by this
client before anything is uploaded, and by the services.
"""

import hashlib
import time
from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException, Message
from opentelemetry.context import Context, get_current
from opentelemetry.trace import get_current_span

from shared.client import history
from shared.client.connection import Connection
from shared.client.earlier_requests import EarlierRequests
from shared.client.errors import (
    BrokerUnreachable,
    JobConflict,
    RecordRefused,
)
from shared.client.job_spec import JobSpec
from shared.client.submitted import Submission
from shared.client.uploads import Uploads
from shared.messages.headers import Header
from shared.messages.identity import request_id
from shared.messages.lanes import lane_topic
from shared.messages.refs import InputRef
from shared.messages.topics import REQUESTS
from shared.storage.markers import RequestRecord
from shared.telemetry import carriers
from shared.telemetry.attributes import registered, set_attributes
from shared.telemetry.failing import work_span

__all__ = ["Submission", "send", "submit"]
CONTENT_TYPE: Header = ("content-type", b"application/json")
DELIVERY_S = 35.0
"""Longer than the producer's delivery.timeout.ms, so that its report comes first."""


def submit(connection: Connection, spec: JobSpec, earlier_requests: EarlierRequests, uploads: Uploads) -> Submission:
    """Upload the files of the job and send the request; returns once the broker has the record.

    A job id that is in use is found first: a repeat of the same request sends nothing. Raises
    JobConflict for the id of another request, JobPurged, StoreUnreachable, BrokerUnreachable, RecordRefused,
    InputBucketMissing, InvalidRequest for a file that can't be read any more, InvalidDeployment where signed requests
    are wanted and no key signs for the tenant.
    """
    topic = lane_topic(connection.topic_of(REQUESTS, spec.key.tenant), spec.lane)
    tracer = connection.tracing.tracer
    with work_span(tracer, f"submit {REQUESTS}", context=_caller()) as span:
        set_attributes(span, {"render.job": spec.key.job_id, "tenant": spec.key.tenant})
        sources = (spec.portrait, spec.speech)
        refs = [one if isinstance(one, InputRef) else uploads.reference(spec.key, one) for one in sources]
        value = _value(spec, refs)
        earlier = _earlier(earlier_requests.find(spec), spec, value)
        if earlier is not None:
            return earlier
        for role, source, ref in zip(("portrait", "speech"), sources, refs, strict=True):
            if isinstance(source, InputRef):
                continue
            with work_span(tracer, "artifact.put", registered({"artifact.role": role})):
                uploads.put(source, ref)
        key = spec.key.job_id
        signature = connection.signature("request", spec.key.tenant, key.encode(), value)
        partition, offset = send(connection, topic, key, value, (CONTENT_TYPE, *signature))
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
