"""One row's pipeline: topics of its own, services of its own, a client, and at the end its history."""

import json
import os
import random
import shutil
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from shared.local import processes
from shared.local.processes import ProcessId
from shared.messages.events import TERMINAL_TYPES
from shared.messages.pipeline import STAGES
from shared.messages.tiers import parse_tiers
from shared.messages.topics import EVENTS, REQUESTS, RETRY, topics, work_topics
from tests.chaos import inputs
from tests.chaos.delivery_checks import group_of
from tests.chaos.features import HAS_RELAY
from tests.chaos.fleet import Fleet, environment
from tests.chaos.history import History, Place, Rec, Stored
from tests.chaos.topic_reader import TopicReader, committed
from tests.chaos.wire_proxy import WireProxy
from tests.conftest import Infrastructure

BUCKET, INPUTS = "lipstage", "lipstage-inputs"
TIERS = ("1s", "2s", "4s")
DRAIN_S = 8
MAX_ATTEMPTS = 5
PARTITIONS = 4
POLL_S = 0.3
CONFIRM_S = 120
"""Until the broker confirms a record: longer than it takes to come back on a loaded machine."""
DOCUMENT_BYTES = 64 * 1024
Header = tuple[str, bytes | None]


class Rig:
    """Make one per row; ``start`` the services after their faults are set, ``finish`` it in any case."""

    def __init__(self, infrastructure: Infrastructure, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.seed = seed
        self.prefix = f"c{uuid.uuid4().hex[:8]}."
        self.folder = folder
        self.scratch = folder / "tmp"
        self.scratch.mkdir(parents=True)
        self._stack = infrastructure.stack
        parts = urlsplit(infrastructure.s3_endpoint_url)
        self.proxy = WireProxy((str(parts.hostname), int(parts.port or 80)))
        self.proxy.__enter__()
        self.bootstrap = infrastructure.bootstrap_servers
        self.environment = environment(
            infrastructure.environment,
            infrastructure.stack.mark,
            LIPSTAGE_TOPIC_PREFIX=self.prefix,
            LIPSTAGE_RETRY_TIERS=",".join(TIERS),
            LIPSTAGE_MAX_ATTEMPTS=str(MAX_ATTEMPTS),
            LIPSTAGE_STORE_RETRY_TIMEOUT_S="3",
            LIPSTAGE_FREE_SPACE_RESERVE_MB="1",
            LIPSTAGE_DRAIN_S=str(DRAIN_S),
            LIPSTAGE_FAULTS_SEED=str(seed),
            LIPSTAGE_CACHE_KEY="a-secret-of-the-chaos-rows",
            TMPDIR=str(self.scratch),
        )
        self.fleet = Fleet(self.environment, folder)
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 10, "mode": "standard"})
        self.s3: Any = boto3.client("s3", config=config)
        self.producer = Producer({"bootstrap.servers": self.bootstrap, "partitioner": "murmur2_random", "log_level": 0,
                                  "enable.idempotence": True, "linger.ms": 0,
                                  "message.max.bytes": 2_000_000})  # fmt: skip
        self._reader = TopicReader(self.bootstrap, self.prefix)
        self._seen: list[Rec] = []
        self.acknowledged: list[Place] = []
        self.foreign: list[Place] = []
        self.extra_starts = 0
        self.max_attempts = MAX_ATTEMPTS
        self.topics = {t.name: t for t in topics("", ("puppet",), parse_tiers(TIERS))}
        self.make_topics(self.topics)

    # Services and topics.

    def make_topics(self, names: Iterable[str]) -> None:
        """Create these topics with their usual configuration and few partitions."""
        new = [
            NewTopic(self.prefix + name, num_partitions=min(PARTITIONS, self.topics[name].partitions),
                     replication_factor=1, config=dict(self.topics[name].config))
            for name in names
        ]  # fmt: skip
        admin = self.admin()  # Held: its requests end with it.
        for future in admin.create_topics(new, operation_timeout=30).values():
            future.result(60)

    def delete_topics(self, names: Iterable[str]) -> None:
        admin = self.admin()
        for future in admin.delete_topics([self.prefix + name for name in names], operation_timeout=30).values():
            future.result(60)

    def admin(self) -> AdminClient:
        """A new admin client: one that lives through the death of the broker may abort this process."""
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def start(self, faults: str = "", replicas: dict[str, int] | None = None, **variables: str) -> None:
        """Start the stages and the relay with these faults, and wait until they are ready."""
        for stage in (*STAGES, *(("relay",) if HAS_RELAY else ())):
            for number in range((replicas or {}).get(stage, 1)):
                if f"{stage}-{number}" not in self.fleet.services:
                    self.fleet.add(stage, number, **({"LIPSTAGE_FAULTS": faults} if faults else {}), **variables)
        self.fleet.start()
        self.fleet.await_ready()

    def use_proxy(self) -> dict[str, str]:
        """Variables with which a service reaches the object store through the proxy."""
        return {"AWS_ENDPOINT_URL_S3": self.proxy.url}

    def program(self, name: str) -> ProcessId:
        """The process of the broker or of the object store."""
        pid = next(p.pid for p in self._stack.supervisor().programs() if p.name == name)
        process = processes.identify(pid)
        assert process is not None
        return process

    # The client.

    def upload(self, data: bytes) -> str:
        key = f"default/{uuid.uuid4().hex}/input"
        self.s3.put_object(Bucket=INPUTS, Key=key, Body=data)
        return key

    def request(self, **fields: Any) -> bytes:
        """The value of a request with inputs of its own."""
        body = {
            "portrait": {"key": self.upload(inputs.portrait())},
            "speech": {"key": self.upload(inputs.speech())},
            "params": {"min_resolution": 256},
        }
        return json.dumps(body | fields).encode()

    def submit(self, name: str = "job", value: bytes | None = None, headers: Iterable[Header] = ()) -> str:
        """Send a request; returns its job id, which begins with ``name``."""
        job = f"{name}-{uuid.uuid4().hex[:12]}"
        self.send_request(self.request() if value is None else value, job, headers)
        return job

    def send_request(self, value: bytes | None, job: str | None, headers: Iterable[Header] = ()) -> Place:
        place = self._send(REQUESTS, value, job.encode() if job is not None else None, headers)
        self.acknowledged.append(place)
        return place

    def send(self, topic: str, value: bytes | None, key: bytes | None, headers: Iterable[Header] = ()) -> Place:
        """Send a record to an internal topic, which nobody but lipstage writes, and wait for its report; returns its
        place."""
        self.foreign.append(self._send(topic, value, key, headers))
        return self.foreign[-1]

    def _send(self, topic: str, value: bytes | None, key: bytes | None, headers: Iterable[Header]) -> Place:
        reports: list[Any] = []
        self.producer.produce(self.prefix + topic, value=value, key=key, headers=list(headers),
                              on_delivery=lambda *report: reports.append(report))  # fmt: skip
        self.producer.flush(CONFIRM_S)
        if not reports:
            raise TimeoutError(f"the broker did not confirm a record on {topic}")
        error, message = reports[0]
        if error is not None:
            raise KafkaException(error)
        return topic, message.partition(), message.offset()

    # What happens.

    def events(self) -> list[dict[str, Any]]:
        """All events so far."""
        self._seen += self._reader.new([EVENTS])
        return [record.body for record in self._seen]

    def until(self, condition: Callable[[list[dict[str, Any]]], object], seconds: float, what: str) -> None:
        """Read events until the condition holds. Raises TimeoutError."""
        until = time.monotonic() + seconds
        while not condition(self.events()):
            if time.monotonic() > until:
                last = {e["job_id"]: (e["type"], e.get("stage")) for e in self.events()}
                logs = {name: self.fleet.tail(name, 2)[-400:] for name in self.fleet.services}
                raise TimeoutError(f"not within {seconds:.0f} s: {what}; last events {last}; logs {logs}")
            time.sleep(POLL_S)

    def await_event(self, job: str, kind: str, stage: str | None = None, seconds: float = 90) -> None:
        """Wait until the job has an event of this kind (and stage)."""
        self.until(
            lambda events: any(
                e["job_id"] == job and e["type"] == kind and stage in (None, e.get("stage")) for e in events
            ),
            seconds,
            f"{kind} {stage or ''} of {job}",
        )

    def await_ends(self, jobs: Iterable[str], seconds: float = 180, replays: int = 0) -> dict[str, str]:
        """Wait until each job has ended; returns type or code of each end."""
        names = set(jobs)

        def ends(events: list[dict[str, Any]]) -> dict[str, str]:
            return {
                e["job_id"]: e.get("code", e["type"])
                for e in events
                if e["type"] in TERMINAL_TYPES and e["job_id"] in names and e.get("replays", 0) >= replays
            }

        self.until(lambda events: ends(events).keys() == names, seconds, f"the ends of {len(names)} jobs")
        return ends(self.events())

    def count(self, job: str, kind: str, stage: str) -> int:
        """How many such events the job has."""
        return sum((e["job_id"], e["type"], e.get("stage")) == (job, kind, stage) for e in self.events())

    def records(self, *names: str) -> list[Rec]:
        """All records of these topics now."""
        return TopicReader(self.bootstrap, self.prefix).new(names)

    def await_quiet(self, seconds: float = 60) -> None:
        """Wait until every group has committed all records of its topics. Raises TimeoutError."""
        until = time.monotonic() + seconds
        while open_ := self._lag():
            if time.monotonic() > until:
                raise TimeoutError(f"not committed after {seconds:.0f} s: {open_}")
            time.sleep(POLL_S)

    def await_records(self, topic: str, number: int, seconds: float = 90) -> None:
        """Wait until the topic has at least ``number`` records. Raises TimeoutError."""
        until = time.monotonic() + seconds
        while (found := len(self.records(topic))) < number:
            if time.monotonic() > until:
                raise TimeoutError(f"{topic} has {found} of {number} records after {seconds:.0f} s")
            time.sleep(POLL_S)

    def retries(self) -> list[Rec]:
        """The records of the retry topics now."""
        return self.records(*(name for name in self.topics if name.startswith(RETRY)))

    def committed(self) -> dict[tuple[str, str, int], int]:
        """The committed offsets by group, topic, partition."""
        return dict(committed(self.bootstrap, self.prefix, self._groups()))

    def _groups(self) -> dict[str, list[tuple[str, int]]]:
        stages = work_topics(("puppet",))
        found: dict[str, list[tuple[str, int]]] = {}
        for name, topic in self.topics.items():
            if name in stages or (HAS_RELAY and name.startswith(RETRY)):
                places = [(name, number) for number in range(min(PARTITIONS, topic.partitions))]
                found.setdefault(group_of(name, stages), []).extend(places)
        return found

    def _lag(self) -> dict[str, int]:
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "chaos-lag", "log_level": 0})
        try:
            groups = self._groups()
            ends = self._reader.ends(consumer, {topic for places in groups.values() for topic, _ in places})
            done = self.committed()
        except KafkaException:
            return {"the broker does not answer": 1}
        finally:
            consumer.close()
        lags = {
            f"{group} {topic}/{number}": ends.get((topic, number), 0) - done.get((group, topic, number), 0)
            for group, places in groups.items()
            for topic, number in places
        }
        return {place: lag for place, lag in lags.items() if lag > 0}

    # The end.

    def finish(self) -> History:
        """Stop the services and read what they left; the rig can't be used afterwards."""
        self.proxy.heal()
        self.fleet.stop()
        leftovers = [f"file {path.relative_to(self.scratch)}" for path in self.scratch.rglob("*") if path.is_file()]
        # Workers end with their service; the kernel kills what remains.
        mark = f"TMPDIR={self.scratch}".encode()
        leftovers += [f"process {p.pid}" for p in processes.stack_processes(self._stack.mark) if _carries(p.pid, mark)]
        records = self.records(*self.topics)
        history = History(
            acknowledged=tuple(self.acknowledged),
            records=tuple(records),
            prefix=self.prefix,
            committed=self.committed(),
            leftovers=tuple(leftovers),
            tiers=parse_tiers(TIERS),
            max_attempts=self.max_attempts,
            foreign=frozenset(self.foreign),
            extra_starts=self.extra_starts,
            fetch=self._fetch,
        )
        history.objects = self._objects(history.jobs)
        return history

    def close(self) -> None:
        """End what still runs and delete topics and files."""
        self.fleet.stop()
        self.proxy.__exit__(None, None, None)
        self.delete_topics(self.topics)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _objects(self, jobs: Iterable[str]) -> dict[str, Stored]:
        found = {}
        for job in jobs:
            pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"jobs/default/{job}/")
            for entry in (entry for page in pages for entry in page.get("Contents", [])):
                document = None
                if entry["Key"].endswith(".json") and entry["Size"] < DOCUMENT_BYTES:
                    document = json.loads(self._fetch(entry["Key"]) or b"null")
                found[entry["Key"]] = Stored(entry["Size"], document)
        return found

    def _fetch(self, key: str) -> bytes | None:
        try:
            return bytes(self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
        except self.s3.exceptions.NoSuchKey:
            return None


def _carries(pid: int, mark: bytes) -> bool:
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    # A worker's folder for temporary files is in that of its service.
    return pid != os.getpid() and any(entry.startswith(mark) for entry in entries)
