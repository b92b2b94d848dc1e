"""The simulated stages follow the rules that the real ones have."""

import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.autoscale import scenarios
from bench.autoscale.events import Events
from bench.autoscale.hpa import Limits
from bench.autoscale.keda import Trigger
from bench.autoscale.scaled_object import Scaling
from bench.autoscale.simulated_stage import SimulatedStage, Task
from bench.autoscale.simulation import simulate, summary
from bench.autoscale.tasks import SONIC, StageWork
from bench.autoscale.traffic import DAY_S, Job, day

WORK = StageWork("one", 10.0, 0.0, slots=1, target_wait_s=20, cold_start_s=60)
BY_LAG = Scaling(Trigger(2, offset_reset_policy="earliest", limit_to_partitions_with_lag=True), Limits(4), to_zero=True)


def waits(jobs: list[Job], control: Scaling | int, partitions: int = 4, work: StageWork = WORK) -> list[float]:
    return simulate(jobs, (work,), {"one": control}, partitions).waits


def test_one_slot_works_on_one_record_after_the_other() -> None:
    assert waits([Job(100, 1), Job(101, 1), Job(102, 1)], 1) == [0, 9, 18]


def test_members_share_the_work() -> None:
    assert waits([Job(100, 1), Job(101, 1), Job(102, 1)], 3) == [0, 0, 0]


def test_slots_of_a_replica_share_the_work() -> None:
    two = StageWork("one", 10.0, 0.0, slots=2, target_wait_s=20)
    assert waits([Job(100, 1), Job(100, 1), Job(100, 1)], 1, work=two) == [0, 0, 10]


def test_the_first_job_waits_for_a_poll_and_a_cold_start() -> None:
    assert waits([Job(1, 1)], BY_LAG) == [74]


def test_the_replicas_return_to_zero_after_the_cooldown() -> None:
    result = simulate([Job(1, 1)], (WORK,), {"one": BY_LAG}, 4).stages["one"]
    # The task ends at 85 s. The poll at 90 s sees no lag; the last active one was at 75 s.
    assert [at for at, count in result.replicas if count] == [float(at) for at in range(30, 391, 15)]
    assert result.hours == pytest.approx((390 - 15) / 3600)


class Bed:
    """A stage with replicas that are ready, and what it has done."""

    def __init__(self, replicas: int, work: StageWork = WORK, drain_s: float = 100.0) -> None:
        self.events, self.done = Events(), list[Task]()
        self.stage = SimulatedStage(self.events, work, 4, drain_s, self.done.append)
        self.stage.scale(replicas)
        for replica in self.stage.replicas:
            replica.ready_at = 0.0
        self.stage.assign()

    def run(self, until: float) -> None:
        self.events.at(until, lambda: None)
        self.events.run(lambda: self.events.now >= until)

    def busy(self) -> list[str]:
        return [replica.name for replica in self.stage.replicas if replica.running]


def test_a_busy_replica_is_removed_last() -> None:
    bed = Bed(3)
    bed.stage.add(Task(0, 50.0, 0.0))
    (working,) = bed.busy()
    bed.stage.scale(1)
    assert [replica.name for replica in bed.stage.replicas] == [working]


def test_a_removed_replica_finishes_its_task() -> None:
    bed = Bed(1)
    bed.stage.add(Task(0, 50.0, 0.0))
    bed.stage.scale(0)
    bed.run(60)
    assert [task.job for task in bed.done] == [0]
    assert bed.stage.ended[0].ended_at == 50
    assert bed.stage.interrupted == 0


@pytest.mark.parametrize(("resumes", "left"), [(True, 260.0), (False, 300.0)])
def test_a_task_longer_than_the_drain_goes_on_elsewhere(resumes: bool, left: float) -> None:
    """100 s of work are done; with checkpoints at most the last 60 s of them are repeated."""
    bed = Bed(2, StageWork("one", 10.0, 0.0, slots=1, target_wait_s=20, resumes=resumes))
    task = Task(0, 300.0, 0.0)
    bed.stage.add(task)
    bed.stage.add(Task(1, 1000.0, 0.0))
    first = next(replica for replica in bed.stage.replicas if task in replica.running)
    first.ready_at = 1.0  # The younger one, as both are busy.
    bed.stage.scale(1)
    bed.run(101)
    assert bed.stage.interrupted == 1
    assert task.seconds == left
    bed.run(1001 + left)
    assert {done.job for done in bed.done} == {0, 1}


def test_shares_are_even_after_every_change() -> None:
    bed = Bed(3)
    for wanted in (4, 2, 3, 1):
        bed.stage.scale(wanted)
        bed.run(bed.events.now + 61)
        shares = [sum(p.owner is replica for p in bed.stage.partitions) for replica in bed.stage.replicas]
        assert len(shares) == wanted and sum(shares) == 4
        assert max(shares) - min(shares) <= 1


jobs = st.lists(st.builds(Job, st.floats(0, 4000), st.floats(1, 60)), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(jobs, st.integers(1, 6), st.integers(1, 8), st.floats(1, 200), st.booleans())
def test_nothing_is_lost_and_nothing_waits_less_than_nothing(
    requests: list[Job], slots: int, partitions: int, drain_s: float, resumes: bool
) -> None:
    requests.sort(key=lambda job: job.at)
    work = StageWork("one", 1.0, 3.0, slots=slots, target_wait_s=20, resumes=resumes)
    limits = Limits(partitions)
    scaling = Scaling(Trigger(1, offset_reset_policy="earliest"), limits, to_zero=True, cooldown_s=0)
    result = simulate(requests, (work,), {"one": scaling}, partitions, drain_s)
    assert len(result.stages["one"].waits) == len(requests)
    assert min(result.waits) >= 0
    for total, wait, job in zip(result.totals, result.waits, requests, strict=True):
        assert total >= wait + work.seconds(job.video_s) - 1e-6 or result.stages["one"].interrupted


def test_a_day_has_its_requests_and_the_assumed_length() -> None:
    plain, batched = day(20_000, 3), day(20_000, 3, bursts=True)
    assert len(plain) == len(batched) == 20_000
    assert all(0 <= job.at <= DAY_S and 2 <= job.video_s <= 60 for job in batched)
    assert statistics.mean(job.video_s for job in plain) == pytest.approx(scenarios.MEAN_VIDEO_S, abs=0.15)
    assert plain == day(20_000, 3)


def test_scaling_by_lag_waits_less_than_as_many_gpu_hours_of_a_fixed_number() -> None:
    small = scenarios.days()[0]
    figures = {
        name: summary(simulate(small.jobs, (SONIC,), {SONIC.name: control}, small.partitions), SONIC.name)
        for name, control in (("lag", scenarios.scaling(SONIC, small.partitions)), ("fixed", 2))
    }
    assert figures["lag"]["replica_hours"] <= figures["fixed"]["replica_hours"]
    assert figures["lag"]["wait_p95_s"] < figures["fixed"]["wait_p95_s"] / 2
