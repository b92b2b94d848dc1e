"""A user of the pods' deployment: sends requests, waits for their ends, and reads everything that is left."""

import json
import uuid
from collections.abc import Iterable
from typing import Any

import boto3
from botocore.config import Config
from confluent_kafka import Producer

from shared.messages.events import TERMINAL_TYPES
from shared.messages.tiers import parse_tiers
from shared.messages.topics import EVENTS, REQUESTS, topics, work_topics
from tests.chaos import inputs
from tests.chaos.checker import Report, check
from tests.chaos.delivery_checks import group_of
from tests.chaos.history import History, Place, Stored
from tests.chaos.topic_reader import TopicReader, committed
from tests.relay.harness import until

ENGINES = ("puppet",)
DOCUMENT_BYTES = 64 * 1024
CONFIRM_S = 60


class Client:
    """One client of one topic prefix; ``store`` are boto3's endpoint_url and keys."""

    def __init__(
        self, bootstrap: str, prefix: str, store: dict[str, str], buckets: tuple[str, str], tiers: tuple[str, ...],
        partitions: int,
    ) -> None:  # fmt: skip
        self._bootstrap, self._prefix, self._tiers = bootstrap, prefix, parse_tiers(tiers)
        self._bucket, self._inputs = buckets
        self._s3: Any = boto3.client(
            "s3", region_name="us-east-1", config=Config(s3={"addressing_style": "path"}), **store
        )  # type: ignore[call-overload]
        self._producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "log_level": 0,
                                   "partitioner": "murmur2_random"})  # fmt: skip
        self._events = TopicReader(bootstrap, prefix)
        self._ends: dict[str, dict[str, Any]] = {}
        self._started: set[tuple[str, str]] = set()
        self._places: list[Place] = []
        self._topics = topics(prefix, ENGINES, self._tiers, partitions)

    def submit(self, seconds: float = 2.0, resolution: int = 256) -> str:
        """Send a request with inputs that no stage has seen; returns the job id. ``resolution`` in pixels."""
        job = f"job-{uuid.uuid4().hex[:12]}"
        request = {
            "portrait": {"key": self._upload(inputs.portrait())},
            "speech": {"key": self._upload(inputs.speech(seconds))},
            "params": {"min_resolution": resolution},
        }
        reports: list[Any] = []
        self._producer.produce(
            self._prefix + REQUESTS, json.dumps(request).encode(), job.encode(),
            on_delivery=lambda error, message: reports.append((error, message.partition(), message.offset())),
        )  # fmt: skip
        self._producer.flush(CONFIRM_S)
        ((error, partition, offset),) = reports
        assert error is None, error
        self._places.append((REQUESTS, partition, offset))
        return job

    def await_stage(self, job: str, stage: str, wait_s: float = 120) -> None:
        """Wait until a task of the job has started at that stage."""
        until(lambda: self._read() or (job, stage) in self._started, f"{job} runs at {stage}", wait_s)

    def await_done(self, jobs: Iterable[str], wait_s: float = 400) -> None:
        """Wait until each job has ended; all must be done."""
        wanted = set(jobs)
        until(lambda: self._read() or wanted <= self._ends.keys(), f"the ends of {len(wanted)} jobs", wait_s)
        others = {job: self._ends[job] for job in wanted if self._ends[job]["type"] != "done"}
        assert not others, others

    def video(self, job: str) -> bytes:
        """The finished file of a done job."""
        return self._fetch(self._ends[job]["video"]["key"])

    def report(self) -> Report:
        """Every check of the fault tests over all that this client's jobs left: docs/chaos.md lists them."""
        names = [topic.name.removeprefix(self._prefix) for topic in self._topics]
        read = work_topics(ENGINES)
        groups: dict[str, list[tuple[str, int]]] = {}
        for topic in self._topics:
            name = topic.name.removeprefix(self._prefix)
            if name in read:
                groups.setdefault(group_of(name, read), []).extend((name, n) for n in range(topic.partitions))
        history = History(
            acknowledged=tuple(self._places),
            records=tuple(TopicReader(self._bootstrap, self._prefix).new(names)),
            prefix=self._prefix,
            committed=dict(committed(self._bootstrap, self._prefix, groups)),
            tiers=self._tiers,
            fetch=self._fetch,
        )
        for job in history.jobs:
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"jobs/default/{job}/"
            )
            for entry in (entry for page in pages for entry in page.get("Contents", [])):
                small = entry["Key"].endswith(".json") and entry["Size"] < DOCUMENT_BYTES
                value = json.loads(self._fetch(entry["Key"])) if small else None
                history.objects[entry["Key"]] = Stored(entry["Size"], value)
        return check(history)

    def _read(self) -> None:
        for record in self._events.new([EVENTS]):
            event = record.body
            if event.get("type") in TERMINAL_TYPES:
                self._ends[event["job_id"]] = event
            if "stage" in event:
                self._started.add((event["job_id"], event["stage"]))

    def _upload(self, data: bytes) -> str:
        key = f"default/{uuid.uuid4().hex}/input"
        self._s3.put_object(Bucket=self._inputs, Key=key, Body=data)
        return key

    def _fetch(self, key: str) -> bytes:
        return bytes(self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read())
