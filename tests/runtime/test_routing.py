"""Tasks are spread evenly for every assignment of partitions."""

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask
from shared.runtime.consume.assignment import Headers
from shared.runtime.disposition import JobContext
from shared.runtime.process.forwarding import Forwarder
from shared.runtime.process.routing import RoundRobin, stride
from shared.runtime.settings import RuntimeSettings
from tests.runtime.memory import MemoryProducers, MemoryStorage


@given(st.integers(1, 300))
def test_stride_visits_every_partition(partitions: int) -> None:
    step = stride(partitions)
    assert math.gcd(step, partitions) == 1
    assert {n * step % partitions for n in range(partitions)} == set(range(partitions))


@given(st.integers(0, 1 << 16), st.sampled_from([4, 8, 16, 48]))
def test_any_run_of_tasks_is_spread_evenly(start: int, partitions: int) -> None:
    route = RoundRobin(start)
    chosen = [route.choose("topic", partitions) for _ in range(3 * partitions)]
    assert {chosen.count(p) for p in range(partitions)} == {3}


def test_burst_reaches_both_owners_of_halves_and_of_alternate_partitions() -> None:
    route = RoundRobin(0)
    burst = [route.choose("topic", 16) for _ in range(4)]
    assert len({p < 8 for p in burst}) == 2
    assert len({p % 2 for p in burst}) == 2


def test_each_topic_has_its_own_counter() -> None:
    route = RoundRobin(0)
    assert route.choose("a", 16) == route.choose("b", 16)


def test_forwarder_sends_to_the_partition_that_its_router_chooses() -> None:
    sent: list[tuple[str, int]] = []

    class Producers(MemoryProducers):
        def send_task(self, topic: str, key: str, value: bytes, headers: Headers, partition: int) -> Any:
            sent.append((topic, partition))
            return super().send_task(topic, key, value, headers, partition)

        def partitions(self, topic: str) -> int:
            return 16

    class Last:
        def choose(self, topic: str, partitions: int) -> int:
            return partitions - 1

    ref = InputRef(key="default/x")
    request = RenderRequest(portrait=ref, speech=ref)
    task = RenderTask(job_id="j", request_id="r", request=request, submitted_ms=1)
    storage: Any = MemoryStorage([])
    Forwarder("face", RuntimeSettings(), storage, Producers([]), Last()).forward(task, JobContext.of(task))
    assert sent == [("render.infer.puppet", 15)]
