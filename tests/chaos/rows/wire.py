"""Rows 9 to 11: the object store is away, slow, or what it answers is lost or altered."""

import hashlib
import signal
import time

from shared.local import processes
from tests.chaos.features import HAS_RELAY
from tests.chaos.rig import BUCKET, Rig
from tests.chaos.rows.table import Outcome, Row, Skipped
from tests.chaos.wire_proxy import WireFault


def store_away(rig: Rig, outcome: Outcome) -> None:
    """The object store answers 503 for longer than a task waits in the process."""
    if not HAS_RELAY:
        raise Skipped("this code has no relay")
    rig.start("face.put=delay=2", **rig.use_proxy())  # Else the job may be done before the fault begins.
    first = rig.submit()
    rig.await_event(first, "started", "face")
    rig.proxy.faults.append(WireFault("503"))
    rig.until(lambda events: any(e["type"] == "retrying" for e in events), 60, "a retry")
    rig.proxy.heal()
    jobs = [first, rig.submit()]
    ends = rig.await_ends(jobs)
    outcome.expect(set(ends.values()) == {"done"}, f"ends {ends}")
    outcome.expect(rig.retries(), "nothing was retried")
    outcome.expect(any(e["type"] == "retrying" for e in rig.events()), "no event retrying")
    outcome.figures.append(f"{len(rig.retries())} retries, {rig.proxy.broken['503']} answers 503")
    ended = sum(rig.fleet.ended(name) for name in rig.fleet.services)
    outcome.expect(ended == 0, f"{ended} services ended")


def always_unavailable(rig: Rig, outcome: Outcome) -> None:
    """One job can never be done: it makes as many attempts as configured, and becomes a dead letter."""
    if not HAS_RELAY:
        raise Skipped("this code has no relay")
    rig.start("infer.put=raise=StoreUnavailable,job=never-*")
    never, good = rig.submit("never"), rig.submit()
    ends = rig.await_ends([never, good], 240)
    outcome.expect(ends[good] == "done", f"the other job ended with {ends[good]}")
    outcome.expect(ends[never] == "STORE_UNAVAILABLE", f"ended with {ends[never]}")
    attempts = [
        e["attempt"] for e in rig.events() if (e["job_id"], e["type"], e.get("stage")) == (never, "started", "infer")
    ]
    outcome.expect(attempts == list(range(1, rig.max_attempts + 1)), f"made the attempts {attempts}")


def broken_answers(rig: Rig, outcome: Outcome) -> None:
    """Every kind of broken answer, several times; then the object store freezes."""
    rig.start(**rig.use_proxy())
    rig.proxy.faults += [
        WireFault("truncated body", "GET", times=3),
        WireFault("flipped byte", "GET", ".*/jobs/.*", times=3),
        WireFault("delay", "GET|PUT", times=3, seconds=1.0),
        WireFault("cut reply", "GET|HEAD", times=3),
        WireFault("503", times=3),
    ]
    jobs = [rig.submit() for _ in range(2)]
    rig.await_event(jobs[0], "started", "face")
    store = rig.program("store")
    processes.kill(store, signal.SIGSTOP)
    time.sleep(3)
    processes.kill(store, signal.SIGCONT)
    ends = rig.await_ends(jobs, 240)
    outcome.expect(set(ends.values()) == {"done"}, f"ends {ends}")
    for job in jobs:
        end = next(e for e in rig.events() if e["job_id"] == job and e["type"] == "done")
        video = rig.s3.get_object(Bucket=BUCKET, Key=end["video"]["key"])["Body"].read()
        outcome.expect(hashlib.sha256(video).hexdigest() == end["video"]["sha256"], f"the video of {job} is altered")
    outcome.expect(not rig.records("render.dlq"), "a dead letter was written")
    outcome.figures.append(", ".join(f"{number} {kind}" for kind, number in sorted(rig.proxy.broken.items())))


def lost_replies(rig: Rig, outcome: Outcome) -> None:
    """Objects are stored and the answers are lost: artifacts, markers, terminal events."""
    rig.start(**rig.use_proxy())
    rig.proxy.faults += [
        WireFault("cut reply", "PUT", r".*/(audio|face|infer|encode)\.json.*", times=4),
        WireFault("cut reply", "PUT", r".*/end\.json.*", times=1),
        WireFault("cut reply", "PUT", r".*\.mp4.*", times=1),
    ]
    job = rig.submit()
    ends = rig.await_ends([job])
    outcome.expect(ends[job] == "done", f"ended with {ends[job]}")
    lost = rig.proxy.broken["cut reply"]
    outcome.expect(lost >= 6, f"only {lost} answers were lost")
    starts = rig.count(job, "started", "encode")
    outcome.expect(starts == 1, f"encode started {starts} times: its own marker counted as another's")


ROWS = (
    Row("9", "object store 503 for longer than a task waits", store_away, short=True),
    Row("9b", "one job's objects are never available", always_unavailable),
    Row("10", "truncated, altered, cut, late answers; store frozen", broken_answers, short=True),
    Row("11", "stored, and the answer is lost", lost_replies),
)
