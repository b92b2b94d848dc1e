"""When the service reads the states again, and how far back it says to know all; without a broker."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from shared.messages.topics import DAY_MS, EVENTS_DAYS
from shared.runtime.settings import RuntimeSettings
from stages.gateway.projection import snapshot
from stages.gateway.projection.job_table import Row
from stages.gateway.projection.service import ProjectionService
from stages.gateway.projection.settings import ProjectionSettings

PLACE = ("render.events", 0)


@pytest.fixture
def make() -> Iterator[Callable[..., Any]]:
    """Makes services that have not started."""
    host: Any = SimpleNamespace(settings=RuntimeSettings(), stop=threading.Event())
    made: list[ProjectionService] = []

    def make(**options: Any) -> ProjectionService:
        made.append(ProjectionService(host, ProjectionSettings(**options)))
        return made[-1]

    yield make
    for service in made:
        service.close()


class Topic:
    """Stands for ``render.jobs``: its end, and what happens while it is read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.end = 5
        self.reads = 0
        self.meanwhile: Callable[[], None] = lambda: None
        monkeypatch.setattr(snapshot, "ends", lambda _: {0: self.end})
        monkeypatch.setattr(snapshot, "read", self._read)

    def _read(self, *_: Any) -> list[Row]:
        self.reads += 1
        self.meanwhile()
        return []


def test_states_are_read_again_when_partitions_were_assigned_during_the_reading(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, topic = make(), Topic(monkeypatch)

    def assigned_once() -> None:
        topic.meanwhile, topic.end = lambda: None, 6
        service._complete.assigned({PLACE})

    topic.meanwhile = assigned_once
    asyncio.run(service._reload(service._host.stop))
    assert (service._complete.loaded, topic.reads) == (True, 2)


def test_the_first_assignment_reads_again_what_was_written_before_it_and_nothing_else(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, topic = make(), Topic(monkeypatch)
    for end, reads in ((5, 1), (5, 1), (6, 2)):
        topic.end = end
        service._complete.assigned({PLACE})
        asyncio.run(service._reload(service._host.stop))
        assert (service._complete.loaded, topic.reads) == (True, reads)
        service._complete.revoked({PLACE})


@pytest.mark.parametrize(("keep_days", "reported"), [(7, 7), (60, EVENTS_DAYS)])
def test_nothing_is_complete_for_longer_than_events_are_kept(
    make: Callable[..., Any], keep_days: int, reported: int
) -> None:
    known_ms = time.time() * 1000 - make(keep_days=keep_days).position()["complete_since_ms"]
    assert known_ms == pytest.approx(reported * DAY_MS, abs=60_000)
