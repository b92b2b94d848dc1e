"""Rows 1 to 3: services and worker processes that die or are asked to end in the middle of their work."""

import signal
import time

from shared.messages.pipeline import STAGES
from shared.runtime.fault_rules import POINTS
from tests.chaos import inputs
from tests.chaos.rig import DRAIN_S, Rig
from tests.chaos.rows.table import Outcome, Row

AFTER_DRAIN_S = 6.0


def killed_services(rig: Rig, outcome: Outcome, points: tuple[str, ...] = POINTS) -> None:
    """Every service dies once at each point; the job of each point dies at all four stages."""
    killed = rig.folder / "killed"
    killed.mkdir()
    places = [(stage, point) for stage in STAGES for point in points]
    rules = [f"{stage}.{point}=kill,job={point}-*,once={killed / f'{stage}.{point}'}" for stage, point in places]
    rig.start(";".join(rules))
    rig.await_ends([rig.submit(point) for point in points], 60 + 15 * len(places))
    missing = {f"{stage}.{point}" for stage, point in places} - {path.name for path in killed.iterdir()}
    outcome.expect(not missing, f"not killed at {sorted(missing)}")
    ended = sum(rig.fleet.ended(f"{stage}-0") for stage in STAGES)
    outcome.expect(ended == len(places), f"{ended} services ended, {len(places)} were killed")
    starts = [e for e in rig.events() if e["type"] == "started"]
    outcome.figures.append(f"{len(places)} kills, {len(starts)} starts of {len(points) * len(STAGES)} tasks")


def killed_services_short(rig: Rig, outcome: Outcome) -> None:
    """The two points at which most can go wrong."""
    killed_services(rig, outcome, ("after_put", "after_publish"))


def killed_workers(rig: Rig, outcome: Outcome) -> None:
    """The worker process of every stage dies in its work: the service lives and starts another."""
    killed = rig.folder / "killed"
    killed.mkdir()
    rig.start(";".join(f"{stage}.work=kill-worker,once={killed / stage}" for stage in STAGES))
    before = rig.fleet.processes()
    job = rig.submit()
    rig.await_ends([job])
    outcome.expect(rig.fleet.processes() == before, "a service was replaced")
    for stage in STAGES:
        starts = [e for e in rig.events() if e["type"] == "started" and e["stage"] == stage]
        attempts = [e["attempt"] for e in starts]
        outcome.expect(attempts == [1, 2], f"{stage} made the attempts {attempts}")
        if len(starts) == 2:
            outcome.figures.append(f"{stage} {starts[1]['time_ms'] - starts[0]['time_ms']} ms to the next attempt")


def drained_services(rig: Rig, outcome: Outcome) -> None:
    """Each service gets SIGTERM in the middle of a task."""
    rig.start(";".join(f"{stage}.put=delay=2,job={stage}-*" for stage in STAGES))
    jobs = []
    for stage in STAGES:
        jobs.append(rig.submit(stage))
        rig.await_event(jobs[-1], "started", stage)
        took = rig.fleet.restart(f"{stage}-0")
        outcome.expect(took <= DRAIN_S + AFTER_DRAIN_S, f"{stage} took {took:.1f} s to end")
        outcome.figures.append(f"{stage} ended in {took:.1f} s")
        rig.fleet.await_ready()
    rig.await_ends(jobs)
    statuses = {s.name: s.statuses for s in rig.fleet.services.values()}
    outcome.expect(all(set(found) <= {0} for found in statuses.values()), f"exit statuses {statuses}")


def frozen_service(rig: Rig, outcome: Outcome) -> None:
    """A service is stopped for longer than its session in the middle of a task, and continues: a zombie."""
    rig.extra_starts = 1
    frozen = rig.folder / "frozen"
    rig.start(f"encode.put=stop,once={frozen}", replicas={"encode": 2})
    job = rig.submit()
    rig.await_ends([job], 90)
    outcome.expect(frozen.exists(), "no service was stopped")
    for name in ("encode-0", "encode-1"):
        rig.fleet.signal(name, signal.SIGCONT)
    second = rig.submit()
    rig.await_ends([second], 90)
    time.sleep(1)  # What the zombie still does must be in the history.
    outcome.expect(not rig.records("render.dlq"), "the zombie wrote a dead letter")
    outcome.figures.append(f"{rig.count(job, 'started', 'encode')} starts of the frozen task")


def killed_overlap(rig: Rig, outcome: Outcome) -> None:
    """Encode dies while it works early; infer dies when all its chunks are announced, and encode works on them."""
    killed = rig.folder / "killed"
    killed.mkdir()
    rules = {
        "early": f"encode.early=kill,job=early-*,once={killed / 'early'}",
        "maker": f"infer.put=kill,job=maker-*,once={killed / 'maker'}",
    }
    rig.start(";".join(rules.values()))
    speech = {"key": rig.upload(inputs.speech(5.0))}
    jobs = []
    for name in rules:  # One after the other: encode has one slot. Large: encode hears of the frames before their end.
        jobs.append(rig.submit(name, rig.request(speech=speech, params={"min_resolution": 512})))
        rig.await_ends(jobs, 120)
    missing = set(rules) - {path.name for path in killed.iterdir()}
    outcome.expect(not missing, f"not killed: {sorted(missing)}")
    outcome.expect(not rig.records("render.dlq"), "a dead letter was written")
    starts = {job: rig.count(job, "started", "encode") for job in jobs}
    outcome.expect(set(starts.values()) == {1}, f"an early start counted as an attempt: {starts}")


ROWS = (
    Row("1", "SIGKILL of each service at each point", killed_services),
    Row("1s", "SIGKILL of each service after put and after publish", killed_services_short, short=True),
    Row("2", "SIGKILL of each worker process", killed_workers),
    Row("3", "SIGTERM of each service in a task", drained_services),
    Row("32", "SIGKILL of encode and of infer while both work on a job", killed_overlap, short=True),
    Row("6", "SIGSTOP beyond the session, then SIGCONT", frozen_service),
)
