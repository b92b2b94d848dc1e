"""A replay that is killed twice: every record is sent, and none again that was noted as sent.

The long form has 10 000 dead letters; ``-s`` prints its figures: ``python -m pytest -m slow -s``, then this file.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from shared.client.connection import Connection
from shared.client.dead_letters import scan
from shared.client.dead_letters.sending import WINDOW
from shared.client.dead_letters.states import Ledger
from shared.client.event_log import parse
from tests.client.dead_letters.making import Made, send, sent
from tests.client.services import Services
from tests.conftest import ROOT

LIMIT_S = 240
PAGE = os.sysconf("SC_PAGE_SIZE")


def copies(connection: Connection) -> Counter[str]:
    """How often each job's record was sent."""
    return Counter((message.key() or b"").decode() for message in sent(connection, "render.face"))


def noted(connection: Connection) -> set[str]:
    """The jobs whose dead letters are noted as replayed."""
    entries = Ledger(connection).entries
    topic = connection.topic("render.dlq")
    dead = scan.dead_letters(connection, scan.ranges(connection, topic))
    return {(one.key or b"").decode() for one in dead if one.packed_id in entries}


def count_sent(connection: Connection) -> int:
    return sum(high - low for low, high in scan.ranges(connection, connection.topic("render.face")).values())


class Replaying:
    """`lipstage dlq replay --go` in a process of its own, and its memory."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "shared.cli.main", "dlq", "replay", "--go", *options]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.memory: list[float] = []

    def measure(self) -> None:
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        if len(pages) > 1 and int(pages[1]):
            self.memory.append(int(pages[1]) * PAGE / 1e6)

    def kill_after(self, connection: Connection, records: int) -> None:
        """SIGKILL once so many records are on the target topic."""
        deadline = time.monotonic() + LIMIT_S
        try:
            while count_sent(connection) < records:
                assert self.process.poll() is None, self.process.communicate()[0]
                assert time.monotonic() < deadline
                self.measure()
            assert self.process.poll() is None, "it was killed in the middle, not at its end"
        finally:
            self.process.kill()
            self.process.communicate()

    def end(self) -> str:
        out, _ = self.process.communicate(timeout=LIMIT_S)
        return out


def killed_twice(connection: Connection, services: Services, count: int, done: int, *options: str) -> None:
    jobs = [f"j{n}" for n in range(count)]
    send(connection, [Made(job) for job in jobs])
    for job in jobs[:done]:
        services.event("done", job)  # Only its type, tenant and id are read.
    wanted = set(jobs[done:])
    memory: list[float] = []
    at_kill: list[tuple[set[str], Counter[str]]] = []
    for part in (len(wanted) // 4, len(wanted) // 2):
        run = Replaying(*options)
        run.kill_after(connection, part)
        at_kill.append((noted(connection), copies(connection)))
        memory += run.memory[-5:]  # At the kill: in the middle of the sending.
    last = Replaying()
    out = last.end()
    assert last.process.returncode == 4, out  # The done jobs are refused.
    final = copies(connection)
    assert set(final) == wanted, "each is sent at least once, and none of a done job"
    for known, before in at_kill:
        assert known, "nothing was noted before the kill"
        assert {job: final[job] for job in known} == {job: before[job] for job in known}
    twice = sum(final.values()) - len(wanted)
    assert twice <= 2 * WINDOW
    assert noted(connection) == wanted
    events = [parse(message.value()) for message in sent(connection, "render.events")]
    assert {e.job_id for e in events if e is not None and e.type == "replayed"} == wanted
    print(
        f"\n{count} dead letters, {done} of done jobs; noted at the kills: {[len(known) for known, _ in at_kill]};"
        f" sent twice: {twice}; resident memory while sending, MB: {min(memory):.0f} to {max(memory):.0f}"
    )


def test_a_replay_that_is_killed_twice_repeats_nothing_that_was_noted(
    deployment: Connection, services: Services
) -> None:
    killed_twice(deployment, services, 600, 20, "--rate", "100")


def test_an_interrupted_replay_ends_its_run_and_continues(deployment: Connection) -> None:
    send(deployment, [Made(f"j{n}") for n in range(100)])
    run = Replaying("--rate", "20")
    deadline = time.monotonic() + LIMIT_S
    while count_sent(deployment) < 10:
        assert run.process.poll() is None, run.end()
        assert time.monotonic() < deadline
    run.process.send_signal(signal.SIGINT)
    run.end()
    assert run.process.returncode == 130
    known = noted(deployment)
    assert known == set(copies(deployment)), "what was sent is noted"
    assert not Ledger(deployment).unfinished
    assert len(known) < 100
    assert any(line.startswith(f"sent {100 - len(known)},") for line in Replaying().end().splitlines())
    assert set(copies(deployment).values()) == {1}
    assert len(copies(deployment)) == 100


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_thousand_dead_letters_survive_two_kills(deployment: Connection, services: Services) -> None:
    killed_twice(deployment, services, 10_000, 100)
