"""Views of the consumer groups that tasks are sent to: who owns which partition, and how much waits there.

A separate process reads them (`group_reader`): the admin client can abort its process when the broker dies during a
request, see `admin_process`. It lives on between requests. Measured for a topic of 16 partitions: 1.2 ms of CPU a view,
0.12 % of a core at one view a second, and 30 MB of memory.
"""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from select import select
from threading import Event
from typing import Any

import structlog

from shared.messages.pipeline import Step
from shared.runtime.admin_process import module_command, module_environment
from shared.runtime.kafka_config import UNLOGGED, base
from shared.runtime.settings import RuntimeSettings

REFRESH_S = 1.0
"""Pause between two views, seconds."""
ANSWER_S = 15.0
"""Time for the start of the process and an answer, seconds; then it is killed and started again."""
LONGEST_PAUSE_S = 30.0
"""Longest pause after a failure, seconds; each pause is twice the previous one."""
SLICE_S = 0.25
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class GroupView:
    """The state of the group that consumes one topic."""

    owners: Mapping[int, str]
    """Partition -> member that it is assigned to; a partition without an owner is left out."""
    lags: Mapping[int, int]
    """Partition -> records that are not committed, those in work included."""
    read_at: float
    """When reading started, seconds of the monotonic clock: a later record is not counted."""


class ReaderFailed(Exception):
    """The process that reads the groups has died, does not answer, or reports an error."""


def groups_of(settings: RuntimeSettings, *steps: Step | None) -> dict[str, str]:
    """Topic -> group of each step, for both lanes; a step per engine has them for every enabled engine. None is left
    out."""
    found: dict[str, str] = {}
    for step in steps:
        if step is not None:
            for engine in settings.engines if step.per_engine else (None,):
                topics = map(settings.topic, step.topics(engine))
                found |= dict.fromkeys(topics, settings.group(step.name, engine))
    return found


class GroupViews:
    """The newest view of each topic's group. ``run`` refreshes them; ``of`` may be called from any thread."""

    def __init__(self, settings: RuntimeSettings, groups: Mapping[str, str]) -> None:
        """``groups`` maps each topic to the group that consumes it."""
        self._settings = settings
        self._groups = dict(groups)
        self._views: Mapping[str, GroupView] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._faults: str | None = None

    def of(self, topic: str) -> GroupView | None:
        """The newest view; None before the first one."""
        return self._views.get(topic)

    def run(self, stop: Event) -> None:
        """Refresh the views until ``stop``; the body of a thread, in which the process is started. A failure is logged
        and tried again: it ends no service, because tasks can be sent without a view."""
        pause = REFRESH_S
        try:
            while not stop.is_set():
                try:
                    self._refresh(stop)
                    pause = REFRESH_S
                except Exception as e:  # noqa: BLE001 - whatever happens, tasks are sent without a view
                    self._note(f"{type(e).__name__}: {e}")
                    self._kill()
                    pause = min(2 * pause, LONGEST_PAUSE_S)
                stop.wait(pause)
        finally:
            self._kill()

    def _refresh(self, stop: Event) -> None:
        read_at = time.monotonic()
        answer = self._ask(stop)
        if answer is None:
            return
        faults = "; ".join(f"{topic}: {text}" for topic, text in answer["errors"].items())
        views = {
            topic: GroupView(
                {partition: member for member, owned in view["owners"].items() for partition in owned},
                {int(partition): lag for partition, lag in view["lags"].items()},
                read_at,
            )
            for topic, view in answer["views"].items()
        }
        self._views = {**self._views, **views}
        self._note(faults or None)

    def _note(self, faults: str | None) -> None:
        """Log a change only: an outage of the broker must not write a line a second."""
        if faults is not None and self._faults is None:
            log.warning("routing_without_view", reason=faults)
        elif faults is None and self._faults is not None:
            log.info("routing_view_restored")
        self._faults = faults

    def _ask(self, stop: Event) -> Any:
        """The answer to one request; None when ``stop`` is set. Raises ReaderFailed, OSError, ValueError."""
        process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        until = time.monotonic() + ANSWER_S
        while b"\n" not in self._unread:
            if stop.is_set():
                return None
            if time.monotonic() > until:
                raise ReaderFailed(f"no answer within {ANSWER_S:.0f} s")
            if select([process.stdout], [], [], SLICE_S)[0]:
                data = os.read(process.stdout.fileno(), 1 << 16)
                if not data:
                    raise ReaderFailed(f"the process has ended with status {process.wait()}")
                self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)

    def _start(self) -> "subprocess.Popen[bytes]":
        config = base(self._settings, "routing") | UNLOGGED
        self._unread = b""
        self._process = subprocess.Popen(
            module_command("shared.runtime.process.group_reader"),
            env=module_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdin is not None
        request = {"parent": os.getpid(), "config": config, "groups": self._groups}
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        return self._process

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    log.debug("routing_pipe_closed")  # What was buffered for a dead process is of no use.
