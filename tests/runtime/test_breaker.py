"""The circuit breaker of a stage: when it opens, how it probes, and when it closes."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from shared.messages.codes import Code
from shared.runtime.breaker import CONSECUTIVE, FIRST_PAUSE_S, LAST, LONGEST_PAUSE_S, CircuitBreaker, State
from shared.runtime.failures import WorkerDied
from shared.slot import records
from tests.runtime.memory import finished
from tests.runtime.memory_stage import FACE, MemoryStage

OURS: list[tuple[str, bytes | None]] = [("ce_source", b"/lipstage/audio")]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker("face", clock)


def fail(breaker: CircuitBreaker, jobs: Iterable[int]) -> None:
    for job in jobs:
        breaker.failed(f"job-{job}", "INTERNAL")


def opened() -> float:
    return REGISTRY.get_sample_value("lipstage_circuit_breaker_openings_total", {"stage": "face"}) or 0.0


def test_eighth_failure_in_a_row_opens_it(breaker: CircuitBreaker) -> None:
    before = opened()
    fail(breaker, range(CONSECUTIVE - 1))
    assert breaker.may_start(0)
    assert breaker.reason is None
    fail(breaker, [CONSECUTIVE])
    assert not breaker.may_start(0)
    assert breaker.reason == "circuit breaker open: 8 jobs failed, the last with INTERNAL; next probe in 30 s"
    assert REGISTRY.get_sample_value("lipstage_circuit_breaker_open", {"stage": "face"}) == 1
    assert opened() == before + 1


def test_success_starts_the_count_again(breaker: CircuitBreaker) -> None:
    fail(breaker, range(CONSECUTIVE - 1))
    breaker.succeeded()
    fail(breaker, range(10, 13))
    assert not breaker.is_open


def test_more_than_half_of_the_last_twenty_opens_it(breaker: CircuitBreaker) -> None:
    for job in range(LAST // 2):
        fail(breaker, [job])
        breaker.succeeded()
    assert not breaker.is_open, "half of them"
    fail(breaker, [100])
    assert not breaker.is_open, "the oldest failure is forgotten"
    fail(breaker, [101])
    assert breaker.is_open


def test_one_job_that_fails_again_and_again_counts_once(breaker: CircuitBreaker) -> None:
    for _ in range(10 * LAST):
        fail(breaker, [1, 2, 3])
    assert not breaker.is_open


def test_probes_are_alone_and_their_pauses_double_up_to_a_limit(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, range(CONSECUTIVE))
    pauses = []
    for job in range(100, 106):
        start = clock.now
        while not breaker.may_start(0):
            clock.now += 1
        pauses.append(clock.now - start)
        assert breaker.state is State.HALF_OPEN
        assert not breaker.may_start(1), "one probe at a time"
        fail(breaker, [job])
    assert pauses == [30, 60, 120, 240, 300, 300]
    assert (pauses[0], pauses[-1]) == (FIRST_PAUSE_S, LONGEST_PAUSE_S)


def test_success_of_the_probe_closes_it_and_the_next_opening_pauses_briefly(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    fail(breaker, range(CONSECUTIVE))
    clock.now += FIRST_PAUSE_S
    assert breaker.may_start(0)
    fail(breaker, [50])
    clock.now += 2 * FIRST_PAUSE_S
    assert breaker.may_start(0)
    breaker.succeeded()
    assert (breaker.state, breaker.reason) == (State.CLOSED, None)
    assert breaker.may_start(3)
    assert REGISTRY.get_sample_value("lipstage_circuit_breaker_open", {"stage": "face"}) == 0
    fail(breaker, range(60, 60 + CONSECUTIVE))
    clock.now += FIRST_PAUSE_S
    assert breaker.may_start(0)


def test_probe_without_a_countable_outcome_lets_the_next_one_start_at_once(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    fail(breaker, range(CONSECUTIVE))
    clock.now += FIRST_PAUSE_S
    assert breaker.may_start(0)
    assert breaker.may_start(0), "the first one was cancelled"


def test_records_that_ran_before_the_opening_are_awaited_before_the_probe(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    fail(breaker, range(CONSECUTIVE))
    clock.now += FIRST_PAUSE_S
    assert not breaker.may_start(1)
    fail(breaker, [99])
    assert breaker.may_start(0), "their failures do not delay the probe"


def test_opening_probe_and_closing_are_logged(breaker: CircuitBreaker, clock: Clock) -> None:
    with capture_logs() as logged:
        fail(breaker, range(CONSECUTIVE))
        clock.now += FIRST_PAUSE_S
        breaker.may_start(0)
        breaker.succeeded()
    names = [line["event"] for line in logged]
    assert names == ["circuit_breaker_opened", "circuit_breaker_probe", "circuit_breaker_closed"]
    assert (logged[0]["code"], logged[0]["failures"], logged[0]["next_probe_s"]) == ("INTERNAL", 8, 30.0)


class Breaker(RuleBasedStateMachine):
    """Any sequence of outcomes and pauses."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = CircuitBreaker("model", self.clock)
        self.running = 0

    @rule()
    def start(self) -> None:
        was = self.breaker.state
        if self.breaker.may_start(self.running):
            assert was is State.CLOSED or self.running == 0
            self.running += 1

    @rule(job=st.integers(0, 40))
    def fail(self, job: int) -> None:
        self.running = max(0, self.running - 1)
        self.breaker.failed(str(job), "INTERNAL")

    @rule()
    def succeed(self) -> None:
        self.running = max(0, self.running - 1)
        self.breaker.succeeded()
        assert not self.breaker.is_open

    @rule()
    def end_neutrally(self) -> None:
        self.running = max(0, self.running - 1)

    @rule(seconds=st.floats(0, 400))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def a_probe_is_never_further_away_than_the_longest_pause(self) -> None:
        later = CircuitBreaker("model", self.clock)
        later.__dict__.update(self.breaker.__dict__)
        now = self.clock.now
        self.clock.now += LONGEST_PAUSE_S
        assert later.may_start(0)
        self.clock.now = now

    @invariant()
    def reason_is_given_while_it_is_open(self) -> None:
        assert (self.breaker.reason is None) is not self.breaker.is_open


Breaker.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestBreaker = Breaker.TestCase


# In a stage.


def fail_jobs(stage: MemoryStage, count: int, headers: list[tuple[str, bytes | None]] | None = None) -> None:
    for number in range(count):
        stage.job = f"job-{number}"
        stage.handle(stage.task().dump(), headers)


def test_bad_deployment_does_not_drain_its_topic_into_the_dead_letters(tmp_path: Path) -> None:
    stage = MemoryStage(FACE, tmp_path, max_attempts=1)
    stage.worker.answer = lambda _: records.HandlerFailed(exception="ImportError", message="m", stack="")
    fail_jobs(stage, 30)
    assert stage.breaker.is_open
    assert len(stage.producers.dead_letters()) == CONSECUTIVE - 1
    retries = stage.producers.retries()
    assert {topic for topic, _, _ in retries} == {"render.retry.10s"}
    assert len(retries) == 30 - (CONSECUTIVE - 1)


def test_rotated_records_use_no_attempt(tmp_path: Path) -> None:
    stage = MemoryStage(FACE, tmp_path)

    def die(_: records.Work) -> records.WorkResult:
        raise WorkerDied("killed")

    stage.worker.answer = die
    fail_jobs(stage, CONSECUTIVE)
    ((_, value, headers),) = stage.producers.retries()
    assert dict(headers)["lipstage-attempt"] == b"1"
    stage.worker.answer = finished()
    stage.handle(value or b"", list(headers))
    assert not stage.breaker.is_open
    assert stage.producers.events()[-1].type == "finished"


@pytest.mark.parametrize(("headers", "opens"), [(OURS, True), (None, False)])
def test_unreadable_records_open_it_only_if_lipstage_wrote_them(
    tmp_path: Path, headers: list[tuple[str, bytes | None]] | None, opens: bool
) -> None:
    stage = MemoryStage(FACE, tmp_path)
    for number in range(CONSECUTIVE):
        stage.job = f"job-{number}"
        stage.handle(b"\xff", headers)
    assert stage.breaker.is_open is opens
    assert len(stage.producers.dead_letters()) == CONSECUTIVE - opens


def test_rejections_are_neutral(tmp_path: Path) -> None:
    stage = MemoryStage(FACE, tmp_path)
    stage.worker.answer = lambda _: records.Refused(code=Code.NO_FACE, message="no face")
    fail_jobs(stage, LAST)
    assert not stage.breaker.is_open
