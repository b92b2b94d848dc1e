"""Retries during an outage of the object store: for outages only, logged and published, ended by a cancel or a stop."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from shared.messages.codes import Code
from shared.runtime import waiting
from shared.runtime.disposition import JobContext
from shared.runtime.execute.map_concurrently import map_concurrently
from shared.runtime.failures import Abandoned, JobCancelled
from shared.runtime.retry_policy import RetryPolicy
from shared.runtime.waiting import TaskWaits, cancellable, set_current_job, task_waits
from shared.storage.errors import ArtifactMissing, NoSpace, StoreOutage, StoreUnavailable
from shared.storage.retry import retried

JOB = JobContext("job-7", "default", uuid.uuid4().hex)
OUTAGE = "reading an artifact: the object store answered 503 SlowDown"


class Failing:
    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every wait is published, and ends when the service stops."""
    monkeypatch.setattr(waiting, "SHOWN_AFTER_S", 0.0)
    monkeypatch.setattr("shared.runtime.retry_policy.SHOWN_AFTER_S", 0.0)


@pytest.fixture
def published() -> list[tuple[str, Code, str]]:
    return []


@pytest.fixture
def waits(published: list[tuple[str, Code, str]]) -> Iterator[TaskWaits]:
    """A task whose job is known."""

    def publish(job: JobContext, code: Code, message: str) -> None:
        published.append((job.job_id, code, message))

    with task_waits(TaskWaits("face", publish)) as waits:
        set_current_job(JOB)
        yield waits
    structlog.contextvars.clear_contextvars()


def test_operation_is_retried_until_the_store_answers() -> None:
    operation = Failing(StoreUnavailable("away"), StoreUnavailable("away"))
    assert RetryPolicy(30)(operation) == "done"
    assert operation.calls == 3


def test_each_attempt_is_measured_under_the_operations_name(waits: TaskWaits) -> None:
    def measured() -> tuple[float, float]:
        labels = {"stage": "face", "operation": "artifacts.put"}
        name = "lipstage_store_request_duration_seconds"
        return tuple(REGISTRY.get_sample_value(f"{name}_{part}", labels) or 0.0 for part in ("count", "sum"))

    count, seconds = measured()
    assert RetryPolicy(30)(Failing(StoreUnavailable("away"), StoreUnavailable("away")), "artifacts.put") == "done"
    assert measured()[0] == count + 3
    assert measured()[1] >= seconds


def test_operation_outside_of_a_task_is_measured_and_retried_as_its_services() -> None:
    def counted(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, {"stage": "infer", **labels}) or 0.0

    def all_counted() -> tuple[float, float]:
        of_operation = counted("lipstage_store_request_duration_seconds_count", operation="outside")
        return of_operation, counted("lipstage_store_retries_total")

    attempts, retries = all_counted()
    policy = RetryPolicy(30, stage="infer")
    assert policy(Failing(StoreUnavailable("away")), "outside") == "done"
    assert all_counted() == (attempts + 2, retries + 1)


def test_every_retried_method_tells_its_name() -> None:
    names: list[str] = []

    class Store:
        @staticmethod
        def retry(operation: Callable[[], Any], name: str, /) -> Any:
            names.append(name)
            return operation()

        @retried
        def put(self, value: int) -> int:
            return value

    assert Store().put(3) == 3
    assert names == ["test_retry_policy.put"]


@pytest.mark.parametrize("error", [ArtifactMissing("gone"), NoSpace("full"), OSError("?")])
def test_error_that_is_no_outage_is_raised_at_once(error: Exception) -> None:
    operation = Failing(error, error)
    with pytest.raises(type(error)):
        RetryPolicy(30)(operation)
    assert operation.calls == 1


def test_retries_end_with_the_last_error() -> None:
    with pytest.raises(StoreUnavailable, match="first"):
        RetryPolicy(0)(Failing(StoreUnavailable("first"), StoreUnavailable("second")))


@pytest.mark.parametrize("threads", [1, 4])
def test_every_retry_is_logged_with_its_job_in_any_thread(waits: TaskWaits, threads: int) -> None:
    operations = [Failing(StoreUnavailable(OUTAGE), StoreUnavailable(OUTAGE)) for _ in range(threads)]
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logged:
        map_concurrently(RetryPolicy(30), operations)
    assert [line["event"] for line in logged] == ["store_retry"] * 2 * threads
    for line in logged:
        assert (line["job"], line["stage"], line["reason"], line["log_level"]) == ("job-7", "face", OUTAGE, "warning")
        assert 0 < line["ends_in_s"] <= 30


@pytest.mark.usefixtures("at_once")
def test_wait_is_published_once_for_all_waiting_threads(waits: TaskWaits, published: list[Any]) -> None:
    """Each operation fails until all have failed twice; their concurrent waits count as one."""
    failures = dict.fromkeys(range(4), 0)

    def operation(number: int) -> Callable[[], None]:
        def call() -> None:
            failures[number] += 1
            if min(failures.values()) < 2:
                raise StoreUnavailable(OUTAGE)

        return call

    map_concurrently(RetryPolicy(60), [operation(number) for number in failures])
    assert published == [("job-7", Code.STORE_UNAVAILABLE, OUTAGE)]
    RetryPolicy(60)(Failing(StoreUnavailable("again")))
    assert published[1:] == [("job-7", Code.STORE_UNAVAILABLE, "again")], "the next wait is published"


def test_short_wait_is_not_published(waits: TaskWaits, published: list[Any]) -> None:
    RetryPolicy(60)(Failing(StoreUnavailable(OUTAGE)))
    assert published == []


def test_cancel_ends_the_retries(waits: TaskWaits) -> None:
    operation = Failing(*[StoreUnavailable(OUTAGE)] * 9)
    with cancellable(lambda: operation.calls == 2), pytest.raises(JobCancelled):
        RetryPolicy(60)(operation)
    assert operation.calls == 2
    RetryPolicy(60)(Failing(StoreUnavailable(OUTAGE)))  # A later operation, as for the terminal event, waits again.


@pytest.mark.usefixtures("at_once")
def test_shutdown_ends_the_retries(waits: TaskWaits) -> None:
    operation = Failing(*[StoreUnavailable(OUTAGE)] * 9)
    waits.stopping = lambda: operation.calls == 2
    with pytest.raises(Abandoned):
        RetryPolicy(60)(operation)
    assert operation.calls == 2


def test_short_outage_during_shutdown_loses_no_work(waits: TaskWaits) -> None:
    waits.stopping = lambda: True
    assert RetryPolicy(60)(Failing(StoreUnavailable(OUTAGE))) == "done"


@pytest.mark.parametrize("works", [True, False])
def test_error_says_whether_the_store_works_for_other_objects(works: bool) -> None:
    with pytest.raises(StoreUnavailable, match="away") as caught:
        RetryPolicy(0, lambda: works)(Failing(StoreUnavailable("away")))
    assert isinstance(caught.value, StoreOutage) is not works


class Clock:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(waiting, "time", clock)
    return clock


def waited(clock: Clock) -> float:
    """How long an operation that never succeeds is retried, seconds."""
    start = clock.now
    with pytest.raises(StoreUnavailable):
        RetryPolicy(20)(Failing(*[StoreUnavailable(OUTAGE)] * 10_000))
    return clock.now - start


LONGEST_SLEEP_S = 3.0


@pytest.mark.parametrize(("worked_s", "limit_s", "expected_s"), [(1, 3600, 20), (600, 3600, 600), (3000, 3600, 590)])
def test_wait_is_worth_as_much_as_the_work_that_would_be_lost(
    waits: TaskWaits, clock: Clock, worked_s: float, limit_s: float, expected_s: float
) -> None:
    """Within the attempt's limit, at which its worker process is killed."""
    with waits.working(limit_s):
        clock.now += worked_s
        assert expected_s <= waited(clock) <= expected_s + LONGEST_SLEEP_S


def test_work_counts_until_it_is_stored(waits: TaskWaits, clock: Clock) -> None:
    with waits.working(3600):
        clock.now += 600
    assert waited(clock) >= 600, "the marker is not yet claimed"
    waits.nothing_to_lose()
    assert waited(clock) <= 20 + LONGEST_SLEEP_S


def test_failed_work_is_not_worth_a_wait(waits: TaskWaits, clock: Clock) -> None:
    with pytest.raises(OSError, match="died"), waits.working(3600):
        clock.now += 600
        raise OSError("died")
    assert waited(clock) <= 20 + LONGEST_SLEEP_S
