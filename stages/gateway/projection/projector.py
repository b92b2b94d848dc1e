"""Folds consumed records into the table: which states change, and which records can't be read. Knows no broker."""

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

import structlog
from pydantic import ValidationError

from shared.client import job_fold
from shared.client.history import queued
from shared.client.job_fold import JobRecord
from shared.client.job_key import JobKey
from shared.client.request_log import request_of
from shared.messages.codes import Code
from shared.messages.delivery_headers import Coordinates
from shared.messages.events import EVENT, AnyEvent, parse_event
from shared.messages.json_text import json_text
from shared.runtime.consume.assignment import Record
from shared.runtime.disposition import FailureReason
from stages.gateway.projection.job_table import JobTable

MAX_RECORD_BYTES = 512 << 10
"""Largest state of a job that is kept: a broker takes records of 1 MiB by default."""
EVENT_TYPES = frozenset(EVENT.json_schema()["discriminator"]["mapping"])
log = structlog.get_logger()


class Unreadable(Exception):
    """The record is no event; the text says why, without its content."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What a few records have changed."""

    changed: dict[JobKey, bytes] = field(default_factory=dict)
    """The new records of ``render.jobs``, by job."""
    refused: list[tuple[Record, FailureReason]] = field(default_factory=list)
    """Records that become dead letters."""
    unknown: int = 0
    """Events of a type that a later version sends; they are left out."""


class Projector:
    """Folds records in the order of their arrival. No record stops it."""

    def __init__(
        self, table: JobTable, requests_topics: Collection[str], believes: Callable[[Record], bool] = lambda _: True
    ) -> None:
        """``requests_topics`` are the full names of the topics of requests; records of other topics are events.
        ``believes`` returns whether the sender of a request may speak for the tenant that it names."""
        self._believes = believes
        self._table = table
        self._requests_topics = requests_topics

    def fold(self, records: Iterable[Record]) -> Folded:
        """Update the table by these records."""
        changed: dict[JobKey, JobRecord] = {}
        refused: list[tuple[Record, FailureReason]] = []
        unknown = 0
        for record in records:
            try:
                if record.topic in self._requests_topics:
                    self._request(record, changed)
                elif (event := _event_of(record.value)) is None:
                    unknown += 1
                else:
                    self._event(event, changed)
            except Unreadable as e:
                refused.append((record, FailureReason(Code.POISON, "poison", str(e))))
            except Exception as e:
                log.exception("event_not_folded", topic=record.topic, partition=record.partition, offset=record.offset)
                refused.append((record, FailureReason(Code.INTERNAL, "failed", type(e).__name__, type(e).__name__)))
        values: dict[JobKey, bytes] = {}
        for key, one in changed.items():
            value = job_fold.dump(one)
            if len(value) > MAX_RECORD_BYTES:  # Its former state stays: the events are those of nobody's job.
                log.error("state_too_large", job=key.job_id, tenant=key.tenant, bytes=len(value))
                continue
            values[key] = value
            self._table.put(one, value)
        return Folded(values, refused, unknown)

    def _event(self, event: AnyEvent, changed: dict[JobKey, JobRecord]) -> None:
        key = JobKey(event.tenant, event.job_id)
        before = self._record(key, changed)
        state = None if before is None or before.from_request else before.state
        changed[key] = JobRecord(job_fold.apply(state, event))

    def _request(self, record: Record, changed: dict[JobKey, JobRecord]) -> None:
        """A job that nothing is known of yet is queued; later copies of its request change nothing, nor does a request
        that will be refused because of its tenant."""
        if not self._believes(record):
            return
        place = Coordinates(record.topic, record.partition, record.offset)
        sent = request_of(record.key, record.value, record.headers, place, record.timestamp_ms)
        if self._record(sent.key, changed) is None:
            changed[sent.key] = JobRecord(queued(sent), from_request=True)

    def _record(self, key: JobKey, changed: dict[JobKey, JobRecord]) -> JobRecord | None:
        if key in changed:
            return changed[key]
        row = self._table.get(key)
        return None if row is None else row.record


def _event_of(value: bytes | None) -> AnyEvent | None:
    """The event; None for one of an unknown type. Raises Unreadable."""
    try:
        return parse_event(value)
    except (ValidationError, RecursionError):
        pass
    try:
        read = json.loads(json_text(value or b""))
    except (ValueError, RecursionError):
        raise Unreadable("the record is not JSON") from None
    kind = read.get("type") if isinstance(read, dict) else None
    if isinstance(kind, str) and kind not in EVENT_TYPES:
        return None
    raise Unreadable("the record is no event: a field is missing or has a wrong type")
