"""Decides about each dead letter of a replay; the same for the dry run and for the run."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from shared.client import topic_log
from shared.client.connection import Connection
from shared.client.dead_letters import scan
from shared.client.dead_letters.dead_letter import DeadLetter
from shared.client.dead_letters.filters import DeadLetterFilter
from shared.client.dead_letters.plan import (
    MAX_REPLAYS,
    TOUCHED,
    Decision,
    Verdict,
    end_of_job,
    is_expired,
    would_fail_the_same_way,
)
from shared.client.dead_letters.resending import StagesByTopic
from shared.client.dead_letters.rewriting import Rewriter, RewriteRefused, Rewritten, submitted_ms
from shared.client.dead_letters.states import Ledger, States, job_hash, read_states
from shared.client.errors import InvalidRequest, StoreUnreachable
from shared.messages.lanes import lane_of, lane_topic
from shared.messages.pipeline import FIRST, WEBHOOKS
from shared.messages.topics import DLQ, MAX_DEAD_LETTER_BYTES, REQUEST_TOPICS, REQUESTS
from shared.storage.errors import ArtifactAltered, ArtifactMissing, ArtifactRefused, StoreUnavailable


@dataclass(frozen=True)
class ReplayOptions:
    """What is replayed, and how."""

    filter: DeadLetterFilter
    rewriter: Rewriter
    to: str | None = None
    """The topic to send to, with or without the deployment's prefix; None: where each record was read."""
    limit: int | None = None
    rate: float | None = None
    """Records a second."""
    max_in_flight: int | None = None
    """Uncommitted records of the target topic, at most."""
    force: bool = False
    """Also what was replayed, parked or discarded, what would fail the same way, and what was replayed three times."""
    by: str = "unknown"
    """Who replays: user@host."""
    as_given: tuple[tuple[str, str], ...] = ()
    """Further options as the user gave them, for the audit record."""


class Decider:
    """Reads the dead letters that exist when it is made, and decides about each."""

    def __init__(self, connection: Connection, options: ReplayOptions) -> None:
        """Read states, dead letters and events.

        Raises InvalidRequest, DeadLetterNotFound, BrokerUnreachable, TopicMissing.
        """
        self._connection, self._options = connection, options
        self._prefix = connection.settings.topic_prefix
        self.stages = StagesByTopic(self._prefix)
        self._shared = {connection.topic(name) for name in REQUEST_TOPICS}
        self._to = self._checked_target(options.to) if options.to is not None else None
        self._parts = scan.ranges(connection, connection.topic(DLQ), options.filter.since_ms)
        self.ledger = Ledger(connection)
        self.states: States = self._read_states()

    def _checked_target(self, name: str) -> str:
        """The full name of an existing topic that a stage reads. Raises InvalidRequest, TopicMissing."""
        full = name if self.stages.of(name) is not None else self._connection.topic(name)
        if self.stages.of(full) is None:
            raise InvalidRequest(f"no stage reads {full}", f"one of {', '.join(self.stages.shared)}")
        consumer = self._connection.consumer()
        try:
            topic_log.partitions(consumer, full)
            return full
        finally:
            consumer.close()

    def _read_states(self) -> States:
        """The states, and how the jobs of all chosen dead letters went on."""
        jobs, since_ms = set[int](), 0
        for dead in self._chosen():
            identity = dead.identity(self._prefix)
            if identity is not None:
                jobs.add(job_hash(identity.tenant, identity.identity.job_id))
                # A job can't have ended before its record was written.
                since_ms = min(since_ms or dead.original_ms, dead.original_ms)
        return read_states(self._connection, self.ledger, jobs, since_ms)

    def _chosen(self) -> Iterator[DeadLetter]:
        chosen = self._options.filter
        found = (
            scan.by_ids(self._connection, list(chosen.ids))
            if chosen.ids
            else scan.dead_letters(self._connection, self._parts)
        )
        return (dead for dead in found if chosen.matches(dead, self._prefix))

    def decisions(self, *, fetch: bool) -> Iterator[Decision]:
        """A decision about each dead letter. ``fetch``: read values that the object store has, where False only their
        presence is checked, unless they are to be changed.

        Raises BrokerUnreachable, StoreUnreachable, InvalidRequest for a patch of a field that no request has.
        """
        number = 0
        for dead in self._chosen():
            state = self.states.of(dead)
            if not self._options.filter.accepts(state):
                continue
            decision = self._decide(dead, state.name, fetch)
            if decision.verdict in (Verdict.SEND, Verdict.PARK):
                number += 1
                if self._options.limit is not None and number > self._options.limit:
                    decision = Decision(dead, Verdict.BEYOND_LIMIT)
            yield decision

    def _decide(self, dead: DeadLetter, state: str, fetch: bool) -> Decision:
        options, job = self._options, dead.identity(self._prefix)
        known = job_hash(job.tenant, job.identity.job_id) if job is not None else 0
        if state in TOUCHED and not options.force:
            return Decision(dead, TOUCHED[state])
        # A notice of a job's end is sent again whatever the end was, and the job stays as it is.
        is_notice = self.stages.of(dead.topic) == WEBHOOKS
        end = 0 if is_notice else self.states.jobs.end(known)
        if (ended := end_of_job(end)) is not None:
            return Decision(dead, ended)
        topic = self._to or (dead.topic if dead.topic and self.stages.of(dead.topic) is not None else None)
        if topic is None:
            return Decision(dead, Verdict.NO_TARGET, detail=f"it was read from {dead.topic or 'no known topic'}")
        if topic in self._shared and self._connection.settings.tenancy == "topic":
            if job is None or job.tenant not in self._tenants:
                named = f"the tenant {job.tenant}" if job is not None else "it names no tenant, which"
                return Decision(dead, Verdict.NO_TARGET, detail=f"{named} has no topics of its own")
            topic = lane_topic(self._connection.topic_of(REQUESTS, job.tenant), lane_of(topic))
        takes_requests = self.stages.of(topic) == FIRST
        if self._to is not None and dead.is_request(self._prefix) != takes_requests:
            kind, expected = ("task", "requests") if takes_requests else ("request", "tasks")
            return Decision(dead, Verdict.WRONG_TARGET, detail=f"a {kind} can't go to {topic}, which takes {expected}")
        if is_notice != (self.stages.of(topic) == WEBHOOKS):
            detail = "only a notice of a webhook can go to the topic of webhooks, and nowhere else"
            return Decision(dead, Verdict.WRONG_TARGET, detail=detail)
        replays = max(dead.delivery.replays, 0 if is_notice else self.states.jobs.replays(known)) + 1
        if replays > MAX_REPLAYS and not options.force:
            return Decision(dead, Verdict.PARK, replays=replays - 1, job=job)
        try:
            value = self._value(dead, fetch)
        except (ArtifactMissing, ArtifactAltered, ArtifactRefused, ValueError) as e:
            return Decision(dead, Verdict.BODY_MISSING, detail=str(e))
        except StoreUnavailable as e:
            raise StoreUnreachable(str(e)) from None
        now_ms = time.time_ns() // 1_000_000
        try:
            new = options.rewriter.rewrite(dead, value, now_ms)
        except RewriteRefused as e:
            return Decision(dead, Verdict.INVALID, detail=str(e))
        if new is None:
            return Decision(dead, Verdict.SKIPPED)
        if is_expired(end, self._deadline_ms(dead, new, now_ms), now_ms):
            return Decision(dead, Verdict.EXPIRED)
        if not new.changed and not options.force and would_fail_the_same_way(dead):
            return Decision(dead, Verdict.SAME)
        return Decision(dead, Verdict.SEND, topic, replays, job, value, new)

    @cached_property
    def _tenants(self) -> frozenset[str]:
        """The tenants that have topics of their own."""
        return frozenset(topic_log.tenants(self._connection))

    def _value(self, dead: DeadLetter, fetch: bool) -> bytes | None:
        """The value of the failed record. Raises ArtifactMissing, ArtifactAltered, ArtifactRefused, StoreUnavailable,
        ValueError when it was left out."""
        stored = dead.stored_value
        if stored is None:
            if dead.omitted:
                raise ValueError(f"{', '.join(dead.omitted)} did not fit into the dead-letter topic")
            return dead.value
        rewriter = self._options.rewriter
        if fetch or rewriter.patches or rewriter.transform or rewriter.extend_deadline_s is not None:
            return self._connection.artifacts.get_bytes(stored, MAX_DEAD_LETTER_BYTES * 64)
        if not self._connection.artifacts.exists(stored):
            raise ArtifactMissing(f"{stored.key} does not exist")
        return None

    def _deadline_ms(self, dead: DeadLetter, new: Rewritten, now_ms: int) -> int | None:
        """When the record's request expires, milliseconds since the epoch; None for one without a deadline."""
        value = new.value
        if value is None or b'"deadline_s"' not in value or b'"deadline_s":null' in value:
            return None  # Most records: nothing is parsed.
        is_request = dead.is_request(self._prefix)
        changed = DeadLetter(dead.partition, dead.offset, dead.timestamp_ms, dead.key, value, dead.headers)
        body: Any = changed.body
        deadline = changed.request(self._prefix).get("deadline_s")
        if isinstance(deadline, bool) or not isinstance(deadline, int | float):
            return None
        # A request that gets another deadline counts it from its replay.
        is_later = is_request and new.changed and deadline != dead.request(self._prefix).get("deadline_s")
        return (now_ms if is_later else submitted_ms(dead, body, is_request)) + int(deadline * 1000)
