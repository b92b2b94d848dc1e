"""Dead letters as stages write them, on the real topic."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import cimpl

from shared.client.connection import Connection
from shared.client.dead_letters import scan
from shared.messages.codes import Code
from shared.messages.headers import task_headers
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask
from shared.messages.topics import DLQ, REQUEST_TOPICS
from shared.runtime.consume.assignment import Record
from shared.runtime.disposition import FailureReason
from shared.runtime.settle.dead_letters import dead_letter_headers

INPUT = {"key": "default/x", "sha256": "0" * 64, "size": 1}
OLD = "0.1.0"
"""A version before the running one: what failed there may be replayed."""
TRACEPARENT = f"00-{'1' * 32}-{'2' * 16}-01"


def request(**fields: Any) -> dict[str, Any]:
    return {"portrait": INPUT, "speech": INPUT, **fields}


def task(job: str, **fields: Any) -> RenderTask:
    submitted_ms = fields.pop("submitted_ms", 1_700_000_000_000)
    return RenderTask(
        job_id=job,
        request_id=str(uuid.uuid4()),
        request=RenderRequest.model_validate(request(**fields)),
        submitted_ms=submitted_ms,
    )


@dataclass(frozen=True)
class Made:
    """A dead letter to be: the failed record, and its failure."""

    job: str
    topic: str = "render.face"
    stage: str = "face"
    code: Code = Code.STORE_UNAVAILABLE
    failure_class: str = "failed"
    version: str = OLD
    value: bytes | None = None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    fields: dict[str, Any] = field(default_factory=dict)
    exception: str = "StoreUnavailable"
    original_ms: int = 1_700_000_000_000

    def record(self, prefix: str, offset: int) -> Record:
        is_request = self.topic in REQUEST_TOPICS
        value, headers = self.value, list(self.headers)
        if value is None and is_request:
            value = json.dumps(request(job_id=self.job, **self.fields)).encode()
        elif value is None:
            made = task(self.job, **dict(self.fields))
            value, headers = made.dump(), [*task_headers(made, self.stage, 1), *headers]
        headers.append(("traceparent", TRACEPARENT.encode()))
        key = self.job.encode() if self.key is None else self.key
        return Record(prefix + self.topic, 0, offset, key, value, headers, self.original_ms)


def send(connection: Connection, made: Sequence[Made]) -> None:
    """Write dead letters, in batches; on return the broker has all."""
    prefix = connection.settings.topic_prefix
    producer = cimpl.Producer(
        {
            "bootstrap.servers": connection.settings.bootstrap_servers,
            "partitioner": "murmur2_random",
            "linger.ms": 20,
            "message.max.bytes": 2 << 20,
        }
    )
    for offset, one in enumerate(made):
        record = one.record(prefix, offset)
        reason = FailureReason(one.code, one.failure_class, f"{one.job} failed", one.exception, "line 1\nline 2")
        headers = list(dead_letter_headers(record, reason, stage=one.stage, group=f"lipstage.{one.stage}", attempts=5))
        headers = [(n, one.version.encode() if n == "__dlq.errors.version" else v) for n, v in headers]
        producer.produce(prefix + DLQ, record.value, record.key, headers=headers)
        producer.poll(0)
    assert producer.flush(60) == 0


def sent(connection: Connection, topic: str) -> list[Any]:
    """Every record of a topic, as Kafka messages."""
    full = connection.topic(topic)
    return list(scan.records(connection, full, scan.ranges(connection, full)))


def jobs_sent(connection: Connection, topic: str) -> list[str]:
    return sorted((message.key() or b"").decode() for message in sent(connection, topic))
