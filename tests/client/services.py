"""A scripted stand-in for the services: it publishes the events a test wants, on real topics and in the real store."""

import hashlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import TopicPartition, cimpl
from confluent_kafka.admin import AdminClient, NewPartitions

from shared.client.connection import Connection
from shared.messages.events import Done
from shared.messages.identity import request_id
from shared.messages.topics import REQUEST_TOPICS, REQUESTS
from shared.storage import keys, markers
from shared.storage.markers import RequestRecord

VIDEO = b"an mp4, for all that this side knows"


class Services:
    """Publishes events of services, under the request id of ``message`` where there is one."""

    def __init__(self, connection: Connection, message: Any = None) -> None:
        self.connection = connection
        self.request_id = "r" if message is None else own_id(message)
        self.producer = self._producer()

    def _producer(self) -> Any:
        servers = self.connection.settings.bootstrap_servers
        return cimpl.Producer({"bootstrap.servers": servers, "partitioner": "murmur2_random", "linger.ms": 0})

    def event(self, kind: str, job: str, **fields: Any) -> dict[str, Any]:
        partition = fields.pop("partition", -1)
        base = {"type": kind, "job_id": job, "tenant": "default", "request_id": self.request_id, "time_ms": now_ms()}
        body = base | fields
        value = json.dumps(body)
        self.producer.produce(self.connection.settings.topic("render.events"), value, job.encode(), partition)
        assert self.producer.flush(60) == 0
        return body

    def grow(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions; a producer that knows the smaller one would refuse the new ones."""
        name = self.connection.settings.topic(topic)
        admin = AdminClient({"bootstrap.servers": self.connection.settings.bootstrap_servers})
        admin.create_partitions([NewPartitions(name, partitions)])[name].result(20)
        while len(admin.list_topics(name, timeout=10).topics[name].partitions) < partitions:
            pass
        self.producer = self._producer()

    def done(self, job: str, content: bytes = VIDEO, **fields: Any) -> dict[str, Any]:
        """Publish and store the terminal event of a job whose artifacts exist."""
        tenant = fields.get("tenant", "default")
        prefix = keys.attempt_prefix(tenant, job, "encode", "a1")
        video = self.connection.artifacts.put_bytes(content, prefix + "video.mp4").model_dump()
        poster = self.connection.artifacts.put_bytes(b"jpg", prefix + "poster.jpg").model_dump()
        figures = {"duration_s": 10.0, "width": 512, "height": 512, "fps": 25, "engine": "puppet", "total_s": 5.0}
        drifts = {"container_drift_ms": 10.0, "audio_drift_ms": 10}
        outputs = {"video": video, "poster": poster, "seconds": {"infer": 4.0}}
        body = self.event("done", job, **outputs, **figures, **drifts, **fields)
        markers.claim_end(self.connection.documents, tenant, job, Done.model_validate(body))
        return body

    def claim(self, job: str, request: str, body: bytes) -> None:
        """Store that the request of that id and body has claimed the job id."""
        record = RequestRecord(request_id=request, body_sha256=hashlib.sha256(body).hexdigest())
        markers.claim_request(self.connection.documents, "default", job, record)


def own_id(message: Any) -> str:
    """The request id of a record."""
    return request_id(message.topic(), message.partition(), message.offset(), message.value())


def now_ms() -> int:
    return int(time.time() * 1000)


def records(connection: Connection, topic: str) -> Iterator[Any]:
    """Every record of a topic, of the requests those of both lanes, from its beginning, as it comes; for 60 s."""
    consumer = cimpl.Consumer(
        {"bootstrap.servers": connection.settings.bootstrap_servers, "group.id": uuid.uuid4().hex}
    )
    try:
        names = [connection.settings.topic(one) for one in (REQUEST_TOPICS if topic == REQUESTS else (topic,))]
        found = consumer.list_topics(timeout=10).topics
        consumer.assign([TopicPartition(name, p, 0) for name in names for p in found[name].partitions])
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                yield message
    finally:
        consumer.close()


@contextmanager
def answering(connection: Connection, answer: Callable[[Services, Any], None]) -> Iterator[None]:
    """A service that answers the next request."""

    def serve() -> None:
        message = next(records(connection, "render.requests"))
        answer(Services(connection, message), message)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        thread.join(timeout=30)
        assert not thread.is_alive()


def job_of(message: Any) -> str:
    return str(message.key().decode())
