"""A plain client of the pipeline: uploads inputs, sends records, reads events."""

import json
import time
import urllib.request
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from shared.messages.events import TERMINAL_TYPES
from shared.runtime.consume.statistics import FetchStallDetector

INPUTS = "lipstage-inputs"
ARTIFACTS = "lipstage"
STALLED_AFTER_S = 15.0
SMALL = {"min_resolution": 256}
"""The smallest resolution, because these tests are about the pipeline and not the picture."""


@dataclass(frozen=True)
class Event:
    """One event with its headers."""

    body: dict[str, Any]
    headers: list[tuple[str, bytes]]

    @property
    def type(self) -> str:
        return str(self.body["type"])

    @property
    def stage(self) -> str:
        return str(self.body.get("stage", ""))

    @property
    def id(self) -> str:
        return next(value.decode() for name, value in self.headers if name == "ce_id")

    def __repr__(self) -> str:
        code = self.body.get("code", "")
        return f"{self.type}({self.stage} {code} {self.body.get('field', '')})".replace(" )", ")")


class Reader:
    """Reads all partitions of a topic from their current ends, without a group, and new partitions when it grows.

    Survives a killed broker: the client may then stop fetching a partition, and is replaced.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap, self._topic = bootstrap, topic
        self._stalled: str | None = None
        self._new: set[int] = set()
        self._consumer, self._fetch_stall = self._make_consumer(), FetchStallDetector(STALLED_AFTER_S)
        numbers = self._consumer.list_topics(topic, timeout=10).topics[topic].partitions
        self._next = {p: self._consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in numbers}
        self._assign()

    def poll(self, seconds: float) -> Message | None:
        if self._stalled is not None:
            print(f"consumer replaced: {self._stalled}")
            self._consumer.close()
            self._consumer, self._fetch_stall = self._make_consumer(), FetchStallDetector(STALLED_AFTER_S)
            self._stalled = None
            self._assign()
        elif self._new:
            self._next |= dict.fromkeys(self._new, 0)
            self._new = set()
            self._assign()
        message = self._consumer.poll(seconds)
        if message is None or message.error() is not None:
            return None
        self._next[message.partition()] = message.offset() + 1
        return message

    def rest(self) -> list[Message]:
        """The records that the topic has now and that have not been read."""
        # The first answer about a topic that was made a moment ago may lack partitions.
        numbers = self._consumer.list_topics(self._topic, timeout=10).topics[self._topic].partitions
        if new := numbers.keys() - self._next.keys():
            self._next |= dict.fromkeys(new, 0)
            self._assign()
        ends = {
            p: self._consumer.get_watermark_offsets(TopicPartition(self._topic, p), timeout=10)[1] for p in self._next
        }
        messages = []
        while any(self._next[p] < end for p, end in ends.items()):
            if (message := self.poll(0.2)) is not None:
                messages.append(message)
        return messages

    def close(self) -> None:
        self._consumer.close()

    def _make_consumer(self) -> Consumer:
        return Consumer({"bootstrap.servers": self._bootstrap, "group.id": f"test-{uuid.uuid4().hex}",
                         "enable.auto.commit": False, "reconnect.backoff.max.ms": 500, "log_level": 0,
                         # Requests for the ends of partitions wait behind a fetch that waits for records.
                         "fetch.wait.max.ms": 20,
                         "topic.metadata.refresh.interval.ms": 2000,
                         "statistics.interval.ms": 2000, "stats_cb": self._on_statistics})  # fmt: skip

    def _assign(self) -> None:
        self._consumer.assign([TopicPartition(self._topic, p, offset) for p, offset in self._next.items()])

    def _on_statistics(self, statistics: str) -> None:
        partitions = json.loads(statistics)["topics"].get(self._topic, {}).get("partitions", {})
        states = {(self._topic, number): p["fetch_state"] for number, p in partitions.items() if p["desired"]}
        self._stalled = self._stalled or self._fetch_stall.stalled(states)
        self._new = {int(number) for number in partitions if int(number) >= 0} - self._next.keys()


@dataclass
class Client:
    """Collects all events since its construction, by job."""

    bootstrap: str
    traces_url: str
    events: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.s3: Any = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
        self._producer = Producer(
            {"bootstrap.servers": self.bootstrap, "partitioner": "murmur2_random", "log_level": 0}
        )
        self._reader = Reader(self.bootstrap, "render.events")

    def close(self) -> None:
        self._reader.close()

    def upload(self, data: bytes, tenant: str = "default") -> str:
        """Upload an input; returns its key."""
        key = f"{tenant}/{uuid.uuid4().hex}/input"
        self.s3.put_object(Bucket=INPUTS, Key=key, Body=data)
        return key

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: str | bytes | None = None,
        headers: Iterable[tuple[str, bytes]] = (),
        partition: int = -1,
        timestamp_ms: int = 0,
    ) -> tuple[int, int]:
        """Send one record; returns its partition and offset."""
        reports: list[Any] = []
        self._producer.produce(topic, value=value, key=key, headers=list(headers), partition=partition,
                               timestamp=timestamp_ms, on_delivery=lambda *report: reports.append(report))  # fmt: skip
        self._producer.flush(30)
        assert reports, f"the broker did not confirm a record on {topic}"
        error, message = reports[0]
        if error is not None:
            raise KafkaException(error)
        return message.partition(), message.offset()

    def submit(self, portrait: str, speech: str, job: str | None = None, **fields: Any) -> str:
        """Send a valid request; returns its job id, a new one by default."""
        job = job or uuid.uuid4().hex
        self.produce("render.requests", body(portrait, speech, **fields), job)
        return job

    def wait(self, jobs: Iterable[str], seconds: float = 90) -> list[Event]:
        """The terminal events of the jobs, in the order of ``jobs``."""
        expected = list(jobs)
        self.until(lambda: all(self.ends(job) for job in expected), seconds, expected)
        return [self.ends(job)[0] for job in expected]

    def done(self, job: str, seconds: float = 90) -> Event:
        """The job's terminal event, which must be ``done``."""
        (end,) = self.wait([job], seconds)
        assert end.type == "done", end.body
        return end

    def until(self, condition: Callable[[], object], seconds: float, about: Iterable[str] = ()) -> None:
        """Read events until the condition holds; after ``seconds`` fail with the events of the jobs in ``about``."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, {job: self.events[job] for job in about if not self.ends(job)}
            message = self._reader.poll(0.2)
            if message is not None:
                self._take(message)

    def started(self, job: str, stage: str, seconds: float = 60) -> None:
        """Wait until the stage has started the job's task."""
        self.until(lambda: ("started", stage) in [(e.type, e.stage) for e in self.events[job]], seconds, [job])

    def drain(self) -> None:
        """Read until an event that is sent now arrives: every earlier event has then been read."""
        mark = uuid.uuid4().hex
        for partition in range(self.partitions("render.events")):
            self.produce("render.events", json.dumps({"type": "mark", "job_id": mark}).encode(), mark, (), partition)
        self.until(lambda: len(self.events[mark]) == self.partitions("render.events"), 30)

    def partitions(self, topic: str) -> int:
        return len(self._producer.list_topics(topic, timeout=10).topics[topic].partitions)

    def ends(self, job: str) -> list[Event]:
        return [event for event in self.events[job] if event.type in TERMINAL_TYPES]

    def video(self, job: str) -> bytes:
        """The finished file."""
        key = self.ends(job)[0].body["video"]["key"]
        return bytes(self.s3.get_object(Bucket=ARTIFACTS, Key=key)["Body"].read())

    def keys(self, prefix: str) -> list[str]:
        """Objects of the artifact bucket under a prefix."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=ARTIFACTS, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def spans(self, job: str, *names: str, seconds: float = 20) -> list[dict[str, Any]]:
        """The spans of the job's traces, once ``names`` are exported: a job may end before the export."""
        deadline = time.monotonic() + seconds
        while True:
            with urllib.request.urlopen(f"{self.traces_url}/jobs/{job}", timeout=5) as answer:
                exported = [span for spans in json.load(answer).values() for span in spans]
            if set(names) <= {span["name"] for span in exported}:
                return exported
            assert time.monotonic() < deadline, f"not all of {names} of {job}: {sorted(s['name'] for s in exported)}"
            self._take_if(self._reader.poll(0.2))

    def _take_if(self, message: Message | None) -> None:
        if message is not None:
            self._take(message)

    def _take(self, message: Message) -> None:
        event = json.loads(message.value() or b"{}")
        self.events[event["job_id"]].append(Event(event, list(message.headers() or [])))


def body(portrait: str, speech: str, /, **fields: Any) -> bytes:
    """The value of a request record."""
    request = {"portrait": {"key": portrait}, "speech": {"key": speech}, "params": SMALL} | fields
    return json.dumps(request).encode()
