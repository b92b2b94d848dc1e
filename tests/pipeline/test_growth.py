"""Topics that grow while the services run."""

import uuid

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from shared.messages.topics import DLQ, EVENTS, REQUESTS
from tests.pipeline.client import Client, Reader, body
from tests.pipeline.conftest import Pipeline, spoken, unseen_start

MORE = 2


@pytest.fixture(scope="module")
def grown(pipeline: Pipeline, client: Client) -> dict[str, int]:
    """Add two partitions to every topic that is not compacted; the earlier number by topic."""
    admin = AdminClient({"bootstrap.servers": pipeline.stack.bootstrap_servers})
    known = admin.list_topics(timeout=10).topics
    names = [REQUESTS, "render.face", "render.infer.puppet", "render.encode", EVENTS, DLQ]
    before = {name: len(known[name].partitions) for name in names}
    made = admin.create_partitions([NewPartitions(name, count + MORE) for name, count in before.items()])
    for future in made.values():
        future.result(20)
    client.until(lambda: all(client.partitions(name) == count + MORE for name, count in before.items()), 20)
    return before


def test_job_on_new_partitions_is_rendered(grown: dict[str, int], client: Client, portrait: str) -> None:
    """Its events are read, too, on whichever partition they are now."""
    speech = client.upload(spoken(0.6, unseen_start()))
    jobs = [uuid.uuid4().hex for _ in range(4)]
    for number, job in enumerate(jobs):
        partition = grown[REQUESTS] + number % MORE
        client.produce(
            REQUESTS, body(portrait, speech, params={"min_resolution": 256, "seed": number}), job, (), partition
        )
    ends = client.wait(jobs, 200)
    assert [end.type for end in ends] == ["done"] * len(jobs)
    assert [len(client.ends(job)) for job in jobs] == [1] * len(jobs)


def test_task_on_a_new_partition_of_an_internal_topic_is_processed(
    grown: dict[str, int], pipeline: Pipeline, client: Client
) -> None:
    """Every new partition of every stage has an owner, which dead-letters the record."""
    dead_letters, waiting = Reader(pipeline.stack.bootstrap_servers, DLQ), set[bytes]()
    for name in ("render.face", "render.infer.puppet", "render.encode"):
        for partition in range(grown[name], grown[name] + MORE):
            key = uuid.uuid4().hex
            client.produce(name, b"not a task", key, (), partition)
            waiting.add(key.encode())

    def all_found() -> bool:
        message = dead_letters.poll(0.1)
        if message is not None:
            waiting.discard(message.key())
        return not waiting

    client.until(all_found, 150)
    dead_letters.close()
