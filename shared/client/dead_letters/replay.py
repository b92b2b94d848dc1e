"""Replays dead letters: a plan first, then each record, its ``replayed`` event and its state, in this order.

A record counts as replayed once the broker has all three. After a kill the next run sends again what is not noted as
replayed: at most the ``WINDOW`` chains that were under way, whose records the stages take for duplicates.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from opentelemetry.trace import StatusCode

from shared.client import topic_log
from shared.client.connection import Connection
from shared.client.dead_letters import scan
from shared.client.dead_letters.deciding import Decider, ReplayOptions
from shared.client.dead_letters.pacing import Pace
from shared.client.dead_letters.plan import ABOUT, REFUSED, Decision, Plan, Verdict
from shared.client.dead_letters.resending import outgoing, replayed_event
from shared.client.dead_letters.rewriting import diff
from shared.client.dead_letters.runs import Run
from shared.client.dead_letters.sending import Chain, Outbound, Place
from shared.client.errors import InvalidRequest, JobDocumentUnreadable, StoreUnreachable
from shared.messages.codes import Rejected
from shared.messages.pipeline import FIRST, WEBHOOKS
from shared.messages.refs import InputRef, OutputRef
from shared.messages.topics import DLQ, EVENTS, REPLAYS
from shared.messages.validation import parse_request
from shared.storage import markers
from shared.storage.errors import StorageError, StoreUnavailable

SPANS = 1000
"""Spans between two exports: the exporter's queue holds twice as many and drops what is beyond."""
EXPORT_MS = 3000


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did: dead letters by what became of them."""

    run_id: str
    sent: int
    parked: int
    failed: int
    refused: int
    errors: tuple[str, ...]
    """The first reasons of failures."""


class Replay:
    """One replay. The plan and the run are about the dead letters that exist when this is made."""

    def __init__(self, connection: Connection, options: ReplayOptions) -> None:
        """Read what there is. Raises BrokerUnreachable, TopicMissing, InvalidRequest."""
        if options.limit is not None and options.limit < 1:
            raise InvalidRequest(f"limit must be at least 1, not {options.limit}")
        self._connection, self._options = connection, options
        self._pace = Pace(connection, options.rate, options.max_in_flight)
        self._decider = Decider(connection, options)
        self._partitions: dict[str, int] = {}
        self._turn = 0
        self._spans, self._exports = 0, True

    def plan(self) -> Plan:
        """What a run will do; nothing is changed.

        Raises BrokerUnreachable, StoreUnreachable, InvalidRequest for a patch of a field that no request has.
        """
        plan = Plan(unfinished=[f"{run.run_id} by {run.by}" for run in self._decider.ledger.unfinished.values()])
        for decision in self._decider.decisions(fetch=False):
            text = None
            if decision.new is not None and decision.new.changed and len(plan.diffs) < 10:
                text = diff(decision.dead, decision.value, decision.new)
            plan.add(decision, text)
        return plan

    def run(
        self,
        planned: int,
        on_progress: Callable[[Counter[str]], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Replayed:
        """Send. ``on_progress`` gets the counts of what the broker has confirmed. ``stop`` is asked between two
        records: True ends the run with a KeyboardInterrupt, once the records under way are noted.

        Raises BrokerUnreachable when the broker stops answering, StoreUnreachable. What is confirmed by then is noted;
        the same call continues.
        """
        options = self._options
        given = options.filter.as_text() | dict(options.as_given)
        refused = 0
        try:
            with Run(self._connection, "replay", options.by, given, planned=planned) as run:

                def progress() -> None:
                    on_progress(run.counts)

                def serve(seconds: float) -> None:
                    run.sender.poll(seconds)
                    if stop():
                        raise KeyboardInterrupt

                for decision in self._decider.decisions(fetch=True):
                    run.raise_if_away()
                    if stop():
                        raise KeyboardInterrupt
                    match decision.verdict:
                        case Verdict.SEND:
                            self._send(run, decision, progress, serve)
                        case Verdict.PARK:
                            run.park(decision.dead, decision.job, ABOUT[Verdict.PARK], progress)
                            refused += 1
                        case verdict:
                            run.counts[str(verdict)] += 1
                self._forget_expired(run)
                run.sender.drain()
                run.raise_if_away()
        finally:
            self._pace.close()
        counts = run.counts
        refused += sum(counts[str(verdict)] for verdict in REFUSED)
        return Replayed(run.run_id, counts["sent"], counts["parked"], counts["failed"], refused, tuple(run.errors))

    def _forget_expired(self, run: Run) -> None:
        """Delete the states of dead letters that are no more: a compacted topic would keep them for ever."""
        parts = scan.ranges(self._connection, self._connection.topic(DLQ))
        for key in self._decider.ledger.expired(parts):
            tombstone = Outbound(self._connection.topic(REPLAYS), key.encode(), None)
            run.sender.submit(Chain(tombstone, (), lambda _: None))

    def _send(self, run: Run, decision: Decision, progress: Callable[[], None], serve: Callable[[float], None]) -> None:
        new, dead, topic, replays = decision.new, decision.dead, decision.topic, decision.replays
        if new is None:
            raise ValueError("a record to send has a value")
        self._pace.wait(topic, serve, run.sender.under_way)
        is_request = dead.is_request(self._connection.settings.topic_prefix)
        if new.changed and is_request and not self._replace_claim(decision):
            run.failed(dead, "another request has its job id")
            return
        stage, job = self._decider.stages.of(topic) or dead.stage or FIRST, decision.job
        tenant = job.tenant if is_request and job is not None else None
        record = outgoing(self._connection, dead, new, topic, replays, tenant)

        def event(_: Place) -> Outbound:
            assert job is not None
            key, value, headers = replayed_event(self._connection, dead, job, stage, replays, record)
            return Outbound(self._connection.topic_of(EVENTS, job.tenant), key, value, headers)

        def note(place: Place) -> Outbound:
            return run.state(dead, "replayed", job, topic=topic, place=place, replays=replays)

        def ended(error: str | None) -> None:
            if error is None:
                run.counts["sent"] += 1
            else:
                run.failed(dead, error)
            if record.span is not None:
                if error is not None:
                    record.span.set_status(StatusCode.ERROR)
                record.span.end()
            progress()

        first = Outbound(topic, record.key, record.value, record.headers, self._partition(topic))
        # The job of a notice does not go on.
        goes_on = job is not None and stage != WEBHOOKS
        run.sender.submit(Chain(first, (event, note) if goes_on else (note,), ended, record.size))
        self._export()

    def _partition(self, topic: str) -> int:
        """The next partition in turn; by the key for requests, as their clients do, and for notices of webhooks."""
        if self._decider.stages.of(topic) in (FIRST, WEBHOOKS):
            return -1
        if topic not in self._partitions:
            consumer = self._connection.consumer()
            try:
                self._partitions[topic] = len(topic_log.partitions(consumer, topic))
            finally:
                consumer.close()
        self._turn += 1
        return self._turn % self._partitions[topic]

    def _replace_claim(self, decision: Decision) -> bool:
        """Let the changed request have the job id: the front would take it for another request. False when another
        request has the id.

        Raises StoreUnreachable, JobDocumentUnreadable.
        """
        job, new = decision.job, decision.new
        if job is None or new is None:
            return True
        names: tuple[tuple[InputRef, ...], str, OutputRef | None] | None = None
        try:
            request = parse_request(new.value)
            names = (request.portrait, request.speech), request.owner or "", request.output
        except Rejected:
            pass
        try:
            return markers.replace_request_body(
                self._connection.documents,
                job.tenant,
                job.identity.job_id,
                old_sha256=hashlib.sha256(decision.value or b"").hexdigest(),
                new_sha256=hashlib.sha256(new.value or b"").hexdigest(),
                names=names,
            )
        except StoreUnavailable as e:
            raise StoreUnreachable(str(e)) from None
        except StorageError as e:
            raise JobDocumentUnreadable(f"the request of job {job.identity.job_id} can't be changed: {e}") from None

    def _export(self) -> None:
        """Export spans now and then, while the collector takes them."""
        self._spans += self._connection.tracing.exports
        if self._exports and self._spans and self._spans % SPANS == 0:
            self._exports = self._connection.tracing.provider.force_flush(EXPORT_MS)
