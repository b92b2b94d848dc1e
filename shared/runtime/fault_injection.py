"""Named points in the path of a record, at which tests inject faults. Without LIPSTAGE_FAULTS they do nothing.

LIPSTAGE_FAULTS holds rules, separated by semicolons; each is ``STAGE.POINT=ACTION[@P|#N][,job=GLOB][,once=FILE]``::

    encode.work=kill,job=poison-*          the encode service dies whenever it begins the work of such a job
    *.after_put=kill,once=/tmp/killed      the first service that reaches the point dies, in whichever process
    face.put=raise=StoreUnavailable@0.3    three of ten uploads fail
    infer.work=kill-worker=0.5#2           twice, half a second after the work has begun, the worker process dies

Points: ``read``, ``work``, ``put``, ``after_put``, ``after_publish``, ``settle`` (the outcome is settled, its offset is
not committed), ``early`` (an attempt begins to work before its task is there). Actions: ``kill``, ``stop`` (SIGSTOP),
``exit`` (status 1) and ``kill-worker``, each optionally ``=SECONDS`` later in another thread; ``raise=NAME``;
``delay=SECONDS``.
"""

import fnmatch
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from shared.runtime.fault_rules import Rule, parse
from shared.runtime.fault_settings import FaultSettings
from shared.runtime.waiting import Wait

_own = threading.local()


def has_worker(pid: Callable[[], int | None]) -> None:
    """The calling thread runs tasks in a worker process: ``kill-worker`` ends that which ``pid`` then names."""
    _own.pid = pid


class Faults:
    """The rules of this process. Thread-safe: every slot's thread reaches points."""

    def __init__(self, rules: tuple[Rule, ...], seed: int) -> None:
        self._rules = rules
        self._seed = seed
        self._lock = threading.Lock()
        self._reached = Counter[tuple[int, str]]()
        self._fired = Counter[int]()

    def reached(self, point: str, stage: str = "", job: str = "") -> None:
        """The path of a record has reached ``point``: carry out the first rule that applies.

        ``stage`` and ``job`` are those of the current task where they are not given. Raises what a rule raises.
        """
        task = Wait().task
        stage = stage or task.stage
        job = job or (task.job.job_id if task.job else "")
        attempt = task.job.attempt if task.job else 1
        for number, rule in enumerate(self._rules):
            if self._fires(number, rule, stage, point, job, attempt):
                _carry_out(rule)
                return

    def _fires(self, number: int, rule: Rule, stage: str, point: str, job: str, attempt: int) -> bool:
        if rule.point != point or rule.stage not in ("*", stage) or not fnmatch.fnmatchcase(job, rule.job):
            return False
        with self._lock:
            if rule.count is not None and self._fired[number] >= rule.count:
                return False
            self._reached[number, job] += 1
            # Not one generator for all: what the slots draw would depend on the order of their threads.
            draw = random.Random(f"{self._seed}/{number}/{job}/{attempt}/{self._reached[number, job]}").random()
            if draw >= rule.probability or (rule.once is not None and not _first(rule.once)):
                return False
            self._fired[number] += 1
            return True


def _first(path: Path) -> bool:
    """Whether no process has created the file yet; creates it."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    return True


def _carry_out(rule: Rule) -> None:
    match rule.action:
        case "raise":
            assert rule.exception is not None
            raise rule.exception(f"injected at {rule.stage}.{rule.point}")
        case "delay":
            time.sleep(rule.seconds)
        case "kill-worker":
            _later(rule.seconds, partial(_end_worker, getattr(_own, "pid", lambda: None)))
        case _:
            _later(rule.seconds, ENDS[rule.action])


def _later(seconds: float, action: Callable[[], None]) -> None:
    if seconds == 0:
        action()
        return
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()


def _end_worker(pid: Callable[[], int | None]) -> None:
    if (number := pid()) is not None:
        with suppress(ProcessLookupError):  # It has ended meanwhile.
            os.kill(number, signal.SIGKILL)


ENDS: dict[str, Callable[[], None]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "exit": lambda: os._exit(1),
}


def nothing(point: str, stage: str = "", job: str = "") -> None:
    """The path of a record has reached ``point``: no fault is configured."""


def _configured() -> Callable[..., None]:
    """The function that this process uses. Without the variable it is the empty one; so it is with a wrong value, for
    which the check of the settings ends the service at its start."""
    if not os.environ.get("LIPSTAGE_FAULTS"):
        return nothing
    try:
        settings = FaultSettings()
        return Faults(parse(settings.faults), settings.faults_seed).reached
    except ValueError:
        return nothing


reached = _configured()
