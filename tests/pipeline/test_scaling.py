"""Two replicas of infer share the jobs; every job is rendered once."""

import uuid

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from shared.messages.pipeline import STAGES
from tests.pipeline.client import Client, Reader, body
from tests.pipeline.conftest import Pipeline, spoken
from tests.pipeline.service_metrics import series, total

JOBS = 10
TWICE = 6


def lags(pipeline: Pipeline, group: str, topics: str) -> dict[tuple[str, int], int]:
    """Number of uncommitted records by partition. ``topics``: the start of their names, and ``*``."""
    admin = AdminClient({"bootstrap.servers": pipeline.stack.bootstrap_servers})
    found = {n: one for n, one in admin.list_topics(timeout=10).topics.items() if n.startswith(topics.rstrip("*"))}
    partitions = [TopicPartition(name, n) for name, one in found.items() for n in one.partitions]
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, partitions)])
    committed = {(p.topic, p.partition): p.offset for p in asked[group].result(timeout=10).topic_partitions}
    ends = admin.list_offsets({p: OffsetSpec.latest() for p in partitions})
    lag = {}
    for partition, future in ends.items():
        name = partition.topic, partition.partition
        lag[name] = future.result(timeout=10).offset - max(0, committed.get(name, 0))
    return lag


def test_ten_concurrent_jobs_finish_on_two_replicas(pipeline: Pipeline, client: Client, portrait: str) -> None:
    scaled = pipeline.up(infer=2)
    try:
        ports = [service.health_port for service in scaled.stack.services if service.stage == "infer"]
        assert len(ports) == 2
        # A replica is ready before the group gives it partitions: the other one could render all jobs until then.
        client.until(lambda: all(series(port, "lipstage_consumer_lag") for port in ports), 60)
        before = [total(port, "lipstage_tasks_total", outcome="done") for port in ports]
        speech = client.upload(spoken(0.6, 2.0))
        jobs = [client.submit(portrait, speech) for _ in range(JOBS)]
        ends = client.wait(jobs, 120)
        assert [end.type for end in ends] == ["done"] * JOBS
        client.drain()
        assert [len(client.ends(job)) for job in jobs] == [1] * JOBS
        for job in jobs:
            files = [key for key in client.keys(f"jobs/default/{job}/") if key.endswith(".mp4")]
            assert files == [client.ends(job)[0].body["video"]["key"]]
            assert len({event.body["trace_id"] for event in client.events[job]}) == 1
        after = [total(port, "lipstage_tasks_total", outcome="done") for port in ports]
        worked = [last - first for last, first in zip(after, before, strict=True)]
        assert sum(worked) == JOBS
        assert min(worked) >= 1, worked
        for service in (one for one in scaled.stack.services if one.stage in STAGES):
            client.until(lambda s=service: not any(lags(scaled, s.group, s.topic).values()), 30)  # type: ignore[misc]
    finally:
        pipeline.up()


def test_every_record_delivered_twice_ends_each_job_once(pipeline: Pipeline, client: Client, portrait: str) -> None:
    """The delivery that loses the race may find its frames deleted while it reads them: the record is not at fault."""
    pipeline.up(infer=2, encode=2)
    dead = Reader(pipeline.stack.bootstrap_servers, "render.dlq")
    try:
        value = body(portrait, client.upload(spoken(4.0, 2.0)))
        jobs = [uuid.uuid4().hex for _ in range(TWICE)]
        for partition, job in enumerate(jobs):
            client.produce("render.requests", value, job, partition=partition)
            client.produce("render.requests", value, job, partition=partition + TWICE)
        client.until(lambda: all(len(client.ends(job)) >= 2 for job in jobs), 180, jobs)
        assert {end.type for job in jobs for end in client.ends(job)} == {"done"}
        assert all(len({e.body["trace_id"] for e in client.events[job]}) == 1 for job in jobs)
        client.until(lambda: not any(client.keys(f"jobs/default/{job}/infer/") for job in jobs), 60)
        assert dead.rest() == []
    finally:
        dead.close()
        pipeline.up()
