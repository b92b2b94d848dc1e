"""The feed alone, with scripted snapshots in place of a deployment: races between a snapshot and events, and faults."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from shared.client import JobKey, JobNotFound, JobState
from shared.client.batches import BatchState
from shared.client.errors import BrokerUnreachable, StoreUnreachable
from shared.messages.events import AnyEvent
from stages.gateway.live import feed as feeds
from stages.gateway.live.feed import Feed
from stages.gateway.live.messages import Message
from stages.gateway.live.ring import Record
from stages.gateway.live.watcher import Watcher
from tests.client.events import event

KEY = JobKey("default", "j")


class Deployment:
    """Stands for the client library: what is stored of jobs. ``held`` calls wait until they are let go."""

    def __init__(self) -> None:
        self.jobs: dict[JobKey, JobState | Exception] = {}
        self.batch = BatchState("b", "default")
        self.end: AnyEvent | Exception | None = None
        self.calls = 0
        self.held: asyncio.Event | None = None

    async def __call__(self, work: Callable[[Any], Any]) -> Any:
        self.calls += 1
        if self.held is not None:
            await self.held.wait()
        return work(self)

    def job_states(self, jobs: tuple[JobKey, ...]) -> dict[JobKey, JobState | Exception]:
        return {key: self.jobs.get(key) or JobNotFound("m") for key in jobs}

    def batch_state(self, batch_id: str, *, tenant: str) -> BatchState:
        assert (batch_id, tenant) == (self.batch.batch_id, self.batch.tenant)
        return self.batch

    def terminal_event(self, _: JobKey) -> AnyEvent | None:
        if isinstance(self.end, Exception):
            raise self.end
        return self.end


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> Deployment:
    made = Deployment()
    monkeypatch.setattr("stages.gateway.live.snapshots.Client", Deployment)
    made.jobs[KEY] = state("accepted", engine="puppet")
    return made


def state(kind: str, **fields: Any) -> JobState:
    made = JobState("j", "default")
    made.apply(event(kind, **fields))
    return made


def record(kind: str, job: str = "j", **fields: Any) -> Record:
    return Record(job.encode(), json.dumps(event(kind, job, **fields).model_dump(mode="json")).encode())


async def started(deployment: Deployment) -> Feed:
    feed = Feed(deployment, None)
    feed.started()
    return feed


async def collect(watcher: Watcher) -> list[Message]:
    return [message async for message in watcher.messages()]


def run(work: Awaitable[Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 30))  # type: ignore[arg-type]


def test_events_during_the_snapshot_are_not_lost_and_not_repeated(deployment: Deployment) -> None:
    async def work() -> list[Message]:
        feed, watcher = await started(deployment), Watcher()
        feed.deliver([record("started", stage="audio", time_ms=2000)])  # The snapshot does not have it yet.
        deployment.held = asyncio.Event()
        joining = asyncio.create_task(feed.watch_job(KEY, None, watcher))
        await asyncio.sleep(0)
        feed.deliver([record("finished", stage="audio", seconds=1.0, time_ms=3000)])
        deployment.held.set()
        await joining
        feed.deliver([record("started", stage="audio", time_ms=2000)])
        feed.deliver([record("failed", stage="face", code="INTERNAL", message="m", time_ms=4000)])
        return await collect(watcher)

    first, last = run(work())
    assert (first.type, first.body["render"]["stages"]["audio"]["state"]) == ("state", "finished")
    assert (last.type, last.is_last, last.body["render"]["status"]) == ("failed", True, "failed")


def test_who_comes_back_before_the_events_of_the_snapshot_have_arrived_gets_the_state(deployment: Deployment) -> None:
    async def work() -> list[Message]:
        feed, watcher = await started(deployment), Watcher()
        feed.deliver([record("accepted", engine="puppet", time_ms=1000)])
        seen = feed._ring.position()
        deployment.jobs[KEY].apply(event("started", stage="audio", time_ms=2000))  # type: ignore[union-attr]
        await feed.watch_job(KEY, seen, watcher)
        feed.deliver([record("started", stage="audio", time_ms=2000)])  # It changes nothing, and is not told.
        feed.deliver([record("failed", stage="audio", code="INTERNAL", message="m", time_ms=3000)])
        return await collect(watcher)

    first, last = run(work())
    assert (first.type, first.body["render"]["stages"]["audio"]["state"]) == ("state", "running")
    assert last.type == "failed"


def test_who_comes_back_to_a_batch_gets_its_state_at_the_end(deployment: Deployment) -> None:
    """A message tells of one render only, and the snapshot may know more of another one."""
    batch = {"id": "b", "index": 0, "total": 2}

    async def work() -> list[Message]:
        feed, watcher = await started(deployment), Watcher()
        feed.deliver([record("accepted", engine="puppet", batch=batch, time_ms=1000)])
        seen = feed._ring.position()
        feed.deliver([record("started", stage="audio", batch=batch, time_ms=2000)])
        rejected = event("rejected", "k", stage="face", code="NO_FACE", message="m", batch={**batch, "index": 1})
        deployment.batch.apply(event("accepted", engine="puppet", batch=batch))
        deployment.batch.apply(rejected)
        await feed.watch_batch("default", "b", seen, watcher)
        watcher.close()
        return await collect(watcher)

    missed, last = run(work())
    assert (missed.type, missed.body["render"]["job_id"]) == ("started", "j")
    assert last.type == "state"
    assert {"job_id": "k", "status": "rejected"} in last.body["batch"]["renders"]


def test_all_watchers_of_a_job_share_one_reading_and_many_jobs_few(deployment: Deployment) -> None:
    keys = [JobKey("default", f"job-{number}") for number in range(100)]
    deployment.jobs |= {key: JobState(key.job_id, key.tenant) for key in keys}

    async def work() -> None:
        feed = await started(deployment)
        await asyncio.gather(*(feed.watch_job(key, None, Watcher()) for key in keys for _ in range(3)))

    run(work())
    assert deployment.calls <= 8, "4 scans at a time, then what has waited"


def test_one_watcher_that_leaves_while_the_state_is_read_does_not_disturb_the_others(deployment: Deployment) -> None:
    async def work() -> list[Message]:
        feed, watcher = await started(deployment), Watcher()
        deployment.held = asyncio.Event()
        leaving = asyncio.create_task(feed.watch_job(KEY, None, Watcher()))
        staying = asyncio.create_task(feed.watch_job(KEY, None, watcher))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait([leaving])
        deployment.held.set()
        subject = await staying
        feed.deliver([record("purged", time_ms=2000)])
        messages = await collect(watcher)
        feed.leave(subject, watcher)
        assert not feed.is_watched
        return messages

    assert [(m.type, m.is_last) for m in run(work())] == [("state", False), ("purged", True)]


def test_an_error_of_the_reading_reaches_every_watcher_and_the_next_one_reads_again(deployment: Deployment) -> None:
    async def work() -> None:
        feed = await started(deployment)
        unknown = JobKey("default", "nobody")
        results = await asyncio.gather(*(feed.watch_job(unknown, None, Watcher()) for _ in range(3)),
                                       return_exceptions=True)  # fmt: skip
        assert [type(result) for result in results] == [JobNotFound] * 3
        assert not feed.is_watched
        deployment.jobs[unknown] = JobState(*reversed(unknown))
        assert (await feed.watch_job(unknown, None, Watcher())).has_ended is False

    run(work())


def test_silence_is_ended_by_what_the_object_store_knows(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "SILENCE_S", 0.0)

    async def work() -> list[Message]:
        feed, watcher = await started(deployment), Watcher()
        deployment.end = StoreUnreachable("away")
        await feed.watch_job(KEY, None, watcher)
        asked = deployment.calls
        while deployment.calls == asked:
            await asyncio.sleep(0)
        deployment.end = event("failed", stage="face", code="INTERNAL", message="m", time_ms=5000)
        return await collect(watcher)

    first, last = run(work())
    assert (first.type, last.type, last.is_last) == ("state", "failed", True)


def test_without_a_reader_nobody_is_admitted_and_a_gap_sends_everyone_back(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "START_S", 0.01)

    async def work() -> None:
        feed, watcher = Feed(deployment, None), Watcher()
        with pytest.raises(BrokerUnreachable):
            await feed.watch_job(KEY, None, watcher)
        feed.failed(BrokerUnreachable("away"))
        with pytest.raises(BrokerUnreachable, match="away"):
            await feed.watch_job(KEY, None, watcher)
        feed.started()
        feed.deliver([record("started", stage="audio", time_ms=2000)])
        await feed.watch_job(KEY, None, watcher)
        feed.failed(BrokerUnreachable("away again"))
        (state,) = await collect(watcher)
        assert not state.is_last
        feed.started()
        deployment.jobs[KEY] = globals()["state"]("started", stage="face", time_ms=9000)
        again = Watcher()
        await feed.watch_job(KEY, state.position, again)
        again.close()
        (message,) = await collect(again)
        assert (message.type, message.body["render"]["last_ms"]) == ("state", 9000), "what was missed is not guessed"

    run(work())


def test_events_of_a_tenants_own_topic_speak_for_no_other_tenant(deployment: Deployment) -> None:
    async def work() -> list[Message]:
        feed, watcher = Feed(deployment, "acme"), Watcher()
        feed.started()
        key = JobKey("acme", "j")
        deployment.jobs[key] = JobState("j", "acme")
        await feed.watch_job(key, None, watcher)
        feed.deliver([record("started", stage="audio"), record("started", stage="face", tenant="acme")])
        watcher.close()
        return await collect(watcher)

    assert [m.type for m in run(work())] == ["state", "started"]
