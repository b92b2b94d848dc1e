"""Deliberate breaks of the runtime, applied in a service's process at its start: the checker must find each."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Break:
    """What is broken, the check that must find it, and how it is applied."""

    what: str
    check: str
    apply: Callable[[], None]


def commit_before_publish() -> None:
    """Report a record as settled when it is submitted, before it is processed."""
    from shared.runtime.consume.assignment import Completion
    from shared.runtime.execute.worker_slots import WorkerSlots

    submit = WorkerSlots.submit

    def early(self: Any, record: Any, assignment: Any) -> None:
        submit(self, record, assignment)
        self._completions.put(Completion(record, assignment, True))

    class Once:
        """Drops the completions of the slots: the early one has been counted."""

        def __init__(self, queue: Any) -> None:
            self._queue = queue

        def put(self, completion: Any) -> None:
            del completion

    process = WorkerSlots._process

    def silent(self: Any, *arguments: Any) -> None:
        completions, self._completions = self._completions, Once(self._completions)
        try:
            process(self, *arguments)
        finally:
            self._completions = completions

    WorkerSlots.submit = early  # type: ignore[method-assign]
    WorkerSlots._process = silent  # type: ignore[method-assign]


def marker_after_publish() -> None:
    """Publish the task first, then claim the completion marker."""
    from shared.runtime.process.forwarding import Forwarder
    from shared.storage import markers
    from shared.storage.markers import Claim

    claim, forward = markers.claim_completion, Forwarder.forward
    late: list[tuple[Any, ...]] = []

    def postponed(*arguments: Any) -> Any:
        late.append(arguments)
        return Claim(arguments[-1], won=True)

    def first(self: Any, *arguments: Any) -> Any:
        from shared.runtime import fault_injection

        done = forward(self, *arguments)
        fault_injection.reached("after_publish")
        while late:
            claim(*late.pop())
        return done

    markers.claim_completion = postponed
    Forwarder.forward = first  # type: ignore[method-assign]


def prefix_rule_off() -> None:
    """Commit the highest settled offset, whatever runs before it."""
    tracker: Any = _offset_tracker()
    finish, sound = tracker.finish, tracker.committable

    def highest(self: Any, offset: int) -> None:
        finish(self, offset)
        _SETTLED[id(self)] = max(_SETTLED.get(id(self), -1), offset + 1)

    def committable(self: Any) -> int | None:
        prefix, settled = sound(self), _SETTLED.get(id(self), -1)
        if prefix is None:  # The prefix is committed already.
            return settled if settled > self._committed else None
        return max(prefix, settled)

    tracker.finish = highest
    tracker.committable = committable


_SETTLED: dict[int, int] = {}
"""By tracker: the offset after the highest settled one."""


def _offset_tracker() -> Any:
    for module in ("offset_tracker", "assignment"):
        try:
            return importlib.import_module(f"shared.runtime.consume.{module}").OffsetTracker
        except ImportError:
            continue
    raise LookupError("there is no OffsetTracker to break")


def relay_early() -> None:
    """Let the broker's time, as the relay sees it, run one second ahead."""
    from shared.runtime.broker_clock import BrokerClock

    now_ms = BrokerClock.now_ms

    def ahead(self: Any) -> int | None:
        now = now_ms(self)
        return None if now is None else now + 1000

    BrokerClock.now_ms = ahead  # type: ignore[method-assign]


def header_bytes_lost() -> None:
    """Read the headers of a dead letter as text, and leave out those that are none."""
    from shared.runtime.producers import Producers

    send = Producers.send

    def readable(self: Any, topic: str, key: Any, value: Any, headers: Any) -> Any:
        if topic.endswith("render.dlq"):
            headers = [(name, text.decode("ascii", "ignore").encode()) for name, text in headers if text is not None]
        return send(self, topic, key, value, headers)

    Producers.send = readable  # type: ignore[method-assign]


def next_version() -> None:
    """No break: a member of the next version, whose tasks have one more field."""
    from shared.messages.task import RenderTask

    dump = RenderTask.dump

    def dumped(self: Any) -> bytes:
        return dump(self.model_copy(update={"of_the_next_version": {"a": 1}}))

    RenderTask.dump = dumped  # type: ignore[method-assign]


BREAKS = {
    "commit before publish": Break("the offset is committed before the record is processed", "nothing lost",
                                   commit_before_publish),
    "marker after publish": Break("the marker is written after the next task", "nothing visible without its marker",
                                  marker_after_publish),
    "prefix rule off": Break("the highest settled offset is committed", "nothing lost", prefix_rule_off),
    "relay early": Break("the relay sends back one second early", "no early retry", relay_early),
    "header bytes lost": Break("a dead letter loses header bytes", "dead letters byte-identical", header_bytes_lost),
    "next version": Break("nothing: the tasks have one field more", "", next_version),
}  # fmt: skip
