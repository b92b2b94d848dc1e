"""One run that changes the state of dead letters: its producer, its audit record, the states it writes."""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Literal, Self

from shared import __version__
from shared.client.connection import Connection
from shared.client.dead_letters.dead_letter import DeadLetter
from shared.client.dead_letters.sending import Chain, Outbound, Place, Sender
from shared.client.errors import BrokerUnreachable, RecordRefused
from shared.messages.dead_letter_state import AUDIT, DeadLetterRun, DeadLetterState, ReplayTarget
from shared.messages.identity import BestEffortIdentity
from shared.messages.names import DEFAULT_TENANT
from shared.messages.topics import PARKED, REPLAYS

CLOCK_MS = 1_000_000


class Run:
    """Writes its audit record before anything else, and again at its end, in a ``with`` block."""

    def __init__(
        self,
        connection: Connection,
        action: Literal["replay", "park", "discard"],
        by: str,
        given: Mapping[str, str],
        reason: str | None = None,
        planned: int = 0,
    ) -> None:
        self.connection = connection
        self.counts = Counter[str]()
        """Dead letters by what became of them."""
        self.errors: list[str] = []
        """The first reasons of failures."""
        self._audit = DeadLetterRun(
            action=action,
            run_id=uuid.uuid4().hex[:12],
            by=by,
            version=__version__,
            started_ms=time.time_ns() // CLOCK_MS,
            filter=dict(given),
            reason=reason,
            planned=planned,
        )
        self.sender = Sender(connection.raw_producer)

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self._audit.run_id

    def __enter__(self) -> Self:
        """Raises BrokerUnreachable, RecordRefused."""
        self._write(self._audit)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.sender.drain()
        if kind is None or self.sender.away is None:
            finished = {"finished_ms": time.time_ns() // CLOCK_MS, "counts": dict(self.counts)}
            self._write(self._audit.model_copy(update=finished))

    def _write(self, audit: DeadLetterRun) -> None:
        ended: list[str | None] = []
        record = Outbound(
            self.connection.topic(REPLAYS),
            f"{AUDIT}{audit.run_id}".encode(),
            audit.model_dump_json(exclude_none=True).encode(),
        )
        self.sender.submit(Chain(record, (), ended.append))
        while not ended:
            self.sender.poll(0.1)
        if ended[0] is not None:
            kind = BrokerUnreachable if self.sender.away is not None else RecordRefused
            raise kind(f"the broker did not take the record of this run: {ended[0]}")

    def failed(self, dead: DeadLetter, error: str) -> None:
        """Count a dead letter that could not be sent."""
        self.counts["failed"] += 1
        if len(self.errors) < 10:
            self.errors.append(f"{dead.id}: {error}")

    def raise_if_away(self) -> None:
        """Raises BrokerUnreachable once the broker has stopped answering."""
        if self.sender.away is not None:
            self.sender.drain()
            raise BrokerUnreachable(f"the broker stopped answering: {self.sender.away}")

    def state(
        self,
        dead: DeadLetter,
        state: Literal["replayed", "parked", "discarded"],
        job: BestEffortIdentity | None,
        *,
        topic: str | None = None,
        place: Place | None = None,
        replays: int = 0,
        reason: str | None = None,
    ) -> Outbound:
        """The record that says what was done with a dead letter."""
        value = DeadLetterState(
            state=state,
            dead_letter_ms=dead.timestamp_ms,
            at_ms=time.time_ns() // CLOCK_MS,
            run_id=self.run_id,
            by=self._audit.by,
            reason=reason,
            target=ReplayTarget(topic=topic, partition=place[0], offset=place[1]) if topic and place else None,
            replays=replays,
            job_id=job.identity.job_id if job is not None else None,
            tenant=job.tenant if job is not None else DEFAULT_TENANT,
        )
        encoded = value.model_dump_json(exclude_none=True).encode()
        return Outbound(self.connection.topic(REPLAYS), dead.id.encode(), encoded)

    def park(
        self, dead: DeadLetter, job: BestEffortIdentity | None, reason: str | None, on_end: Callable[[], Any]
    ) -> None:
        """Copy a dead letter to ``render.parked``, byte for byte, then note that."""
        topic = self.connection.topic(PARKED)

        def note(place: Place) -> Outbound:
            return self.state(
                dead, "parked", job, topic=topic, place=place, replays=dead.delivery.replays, reason=reason
            )

        def ended(error: str | None) -> None:
            if error is None:
                self.counts["parked"] += 1
            else:
                self.failed(dead, error)
            on_end()

        record = Outbound(topic, dead.key, dead.value, dead.headers)
        self.sender.submit(Chain(record, (note,), ended, size=len(dead.value or b"")))

    def discard(self, dead: DeadLetter, job: BestEffortIdentity | None, reason: str, on_end: Callable[[], Any]) -> None:
        """Note that a dead letter needs nothing any more; the record stays until the topic's retention."""

        def ended(error: str | None) -> None:
            if error is None:
                self.counts["discarded"] += 1
            else:
                self.failed(dead, error)
            on_end()

        self.sender.submit(Chain(self.state(dead, "discarded", job, reason=reason), (), ended))
