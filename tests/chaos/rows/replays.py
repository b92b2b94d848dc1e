"""Rows 22 and 23: dead letters that are sent back again and again, and a replay that is killed."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter

from tests.chaos.features import HAS_RELAY, HAS_REPLAY
from tests.chaos.rig import Rig
from tests.chaos.rows.table import Outcome, Row, Skipped

MANY = 10
"""With more failures the breaker opens: more than half of the last twenty."""
RATE = 2
KILL_AFTER = (3, 6)
"""The replay is killed after this many records."""
LOOPS = 3
"""Replays of one dead letter before it is parked."""
LIMIT_S = 180


def replay_loop(rig: Rig, outcome: Outcome) -> None:
    """A record that fails every time is replayed until it is parked; a job that is done is not run again."""
    _require()
    rig.max_attempts = 2
    faults = "face.work=raise=RuntimeError,job=loop-*;face.work=raise=RuntimeError,job=heal-*"
    rig.start(faults, LIPSTAGE_MAX_ATTEMPTS="2")
    loop, heal = rig.submit("loop"), rig.submit("heal")
    ends = rig.await_ends([loop, heal])
    outcome.expect(set(ends.values()) == {"INTERNAL"}, f"ends {ends}")
    refused = cli(rig, "dlq", "replay", "--job", loop, "--go")
    outcome.expect(not rig_replays(rig, loop), f"replayed without --force with the same version: {refused}")
    for number in range(1, LOOPS + 1):
        # --force alone sends back those again that were replayed before.
        cli(rig, "dlq", "replay", "--job", loop, "--state", "new", "--go", "--force")
        rig.await_ends([loop], replays=number)
    cli(rig, "dlq", "replay", "--job", loop, "--state", "new", "--go")
    outcome.expect(rig_replays(rig, loop) == LOOPS, f"{rig_replays(rig, loop)} replays of one record")
    outcome.expect(len(rig.records("render.parked")) == 1, "the record was not parked")
    runs = rig.count(loop, "started", "face")
    outcome.expect(runs == (LOOPS + 1) * rig.max_attempts, f"{runs} runs")
    rig.fleet.change("face-0", LIPSTAGE_FAULTS="")
    rig.fleet.restart("face-0")
    rig.fleet.await_ready()
    cli(rig, "dlq", "replay", "--job", heal, "--go", "--force")
    ends = rig.await_ends([heal], replays=1)
    outcome.expect(ends[heal] == "done", f"the healed job ended with {ends[heal]}")
    cli(rig, "dlq", "replay", "--job", heal, "--go", "--force")
    outcome.expect(rig_replays(rig, heal) == 1, "a done job was sent back")


def killed_replay(rig: Rig, outcome: Outcome) -> None:
    """The replay of many records is killed twice; the third run sends the rest."""
    _require()
    rig.max_attempts = 1
    rig.start("face.work=raise=RuntimeError,job=many-*", LIPSTAGE_MAX_ATTEMPTS="1")
    jobs = [rig.submit("many") for _ in range(MANY // 2)]
    rig.await_ends([*jobs, rig.submit("good")])  # One success: no eight failures in a row.
    jobs += [rig.submit("many") for _ in range(MANY - len(jobs))]
    rig.await_ends(jobs)
    rig.fleet.change("face-0", LIPSTAGE_FAULTS="")
    rig.fleet.restart("face-0")
    rig.fleet.await_ready()
    command = ("dlq", "replay", "--stage", "face", "--state", "new", "--go", "--force", "--rate", str(RATE))
    for sent in KILL_AFTER:
        with subprocess.Popen(_command(*command), env=rig.environment, stdout=subprocess.DEVNULL) as process:
            until = time.monotonic() + LIMIT_S
            while len(_sent(rig)) < sent and process.poll() is None and time.monotonic() < until:
                time.sleep(0.1)
            outcome.expect(process.poll() is None, "the replay ended before it was killed")
            process.send_signal(signal.SIGKILL)
    cli(rig, *command)
    ends = rig.await_ends(jobs, LIMIT_S, replays=1)
    outcome.expect(set(ends.values()) == {"done"}, f"ends {Counter(ends.values())}")
    sent_back = _sent(rig)
    outcome.expect(sent_back.keys() == set(jobs), f"{len(jobs) - len(sent_back)} records were not sent back")
    twice = [job for job, number in sent_back.items() if number > 1]
    outcome.expect(len(twice) <= 2 * len(KILL_AFTER), f"{len(twice)} records were sent twice")
    outcome.figures.append(f"{sum(sent_back.values())} records sent for {len(jobs)} dead letters")


def cli(rig: Rig, *arguments: str) -> str:
    """Run a command of lipstage to its end; returns what it printed."""
    done = subprocess.run(_command(*arguments), env=rig.environment, capture_output=True, text=True, timeout=LIMIT_S,
                          check=False)  # fmt: skip
    return json.dumps({"status": done.returncode, "out": done.stdout[-1000:], "err": done.stderr[-1000:]})


def rig_replays(rig: Rig, job: str) -> int:
    """How often a record of the job was sent back."""
    return _sent(rig)[job]


def _sent(rig: Rig) -> Counter[str]:
    """Records that replays sent to the face stage, by job."""
    records = [r for r in rig.records("render.face") if r.delivery.replays > 0 and r.delivery.attempt == 1]
    return Counter(record.job for record in records)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-c", "import sys; from shared.cli.main import main; sys.exit(main())", *arguments]


def _require() -> None:
    if not (HAS_RELAY and HAS_REPLAY):
        raise Skipped("this code has no replay of dead letters")


ROWS = (
    Row("22", "a record that fails after each replay", replay_loop),
    Row("23", f"replay of {MANY} records, killed twice", killed_replay, short=True),
)
