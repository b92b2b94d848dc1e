"""One dead letter: the failed record as it was, and what the stage added about the failure."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic_core import from_json

from shared.client.errors import InvalidRequest
from shared.messages.delivery_headers import OWN, Coordinates, DeliveryHeaders, read_delivery
from shared.messages.headers import DLQ
from shared.messages.identity import (
    BestEffortIdentity,
    JobIdentity,
    identify_best_effort,
    identify_task_best_effort,
)
from shared.messages.json_text import json_text
from shared.messages.names import DEFAULT_TENANT, JOB_ID, NAME
from shared.messages.refs import ArtifactRef
from shared.messages.task import MAX_ENVELOPE_BYTES
from shared.messages.tenant_topics import takes_requests

Headers = list[tuple[str, bytes | None]]
OFFSET_BITS = 48
_PREFIX = len(DLQ)
_FIRST_ADDED = f"{DLQ}topic"
"""The first header that a stage adds."""
_NAMES = frozenset({"ce_subject", "ce_id"})
"""Headers that name a job."""
_UNKNOWN = object()
_FIRST = DeliveryHeaders()
_JOB_ID, _TENANT, _REQUEST_ID = re.compile(JOB_ID), re.compile(NAME), re.compile(r"[0-9A-Za-z-]{1,64}")
_ID = re.compile(r"([0-9]{1,5}):([0-9]{1,15})")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def packed(partition: int, offset: int) -> int:
    """The id of a dead letter as one small integer, for tables of a hundred thousand of them."""
    return partition << OFFSET_BITS | offset


def unpacked(place: int) -> tuple[int, int]:
    """Partition and offset of a packed id."""
    return place >> OFFSET_BITS, place & (1 << OFFSET_BITS) - 1


def parse_id(text: str) -> tuple[int, int]:
    """Partition and offset of an id such as ``0:17``. Raises InvalidRequest."""
    match = _ID.fullmatch(text.strip())
    if match is None or int(match[2]) >> OFFSET_BITS:
        raise InvalidRequest(
            f"{text!r} is not the id of a dead letter", "an id is partition:offset, as `lipstage dlq ls` prints it"
        )
    return int(match[1]), int(match[2])


@dataclass
class DeadLetter:
    """A record of ``render.dlq``. Nothing in it is trusted: any field may be absent or malformed."""

    partition: int
    offset: int
    timestamp_ms: int
    """The broker's time."""
    key: bytes | None
    value: bytes | None
    headers: Headers
    original_headers: Headers = field(init=False)
    """The headers of the failed record, in their order."""
    topic: str = field(init=False)
    """The topic that the record was read from, with the deployment's prefix."""
    _added: dict[str, bytes | None] = field(init=False, repr=False)
    _identity: Any = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        headers, self._identity = self.headers, _UNKNOWN
        self.original_headers = [header for header in headers if not header[0].startswith(DLQ)]
        # What the sender of the record wrote under such names does not count: the stage's own headers are the last.
        names = [name for name, _ in headers][::-1]
        start = len(names) - 1 - names.index(_FIRST_ADDED) if _FIRST_ADDED in names else 0
        self._added = dict(headers[start:])
        self.topic = self._error("topic")

    @cached_property
    def errors(self) -> dict[str, str]:
        """The values of ``__dlq.errors.*`` by the rest of the name, as the stage added them at the end."""
        return {
            name[_PREFIX:]: value.decode(errors="replace")
            for name, value in self._added.items()
            if value is not None and name.startswith(DLQ)
        }

    def _error(self, name: str) -> str:
        """The value of one header: a replay reads a few of them, for each of many thousand dead letters."""
        value = self._added.get(DLQ + name)
        return value.decode(errors="replace") if value is not None else ""

    @property
    def id(self) -> str:
        """``partition:offset``."""
        return f"{self.partition}:{self.offset}"

    @property
    def packed_id(self) -> int:
        """The id as one integer."""
        return packed(self.partition, self.offset)

    @property
    def code(self) -> str:
        """The public code of the failure."""
        return self._error("code")

    @property
    def failure_class(self) -> str:
        """The class of the failure."""
        return self._error("class")

    @property
    def stage(self) -> str:
        """The stage that failed."""
        return self._error("stage")

    @property
    def version(self) -> str:
        """The version of lipstage that failed."""
        return self._error("version")

    @property
    def original_ms(self) -> int:
        """The broker's time of the failed record; that of the dead letter where it is unknown."""
        return _number(self._error("original.timestamp"), 0) or self.timestamp_ms

    @property
    def trace_id(self) -> str | None:
        """The trace of the failed attempt, else that of the record's sender."""
        sent = next((v.decode(errors="replace") for n, v in reversed(self.headers) if n == "traceparent" and v), "")
        for text in (self._error("traceparent"), sent):
            if match := _TRACEPARENT.fullmatch(text):
                return match[1]
        return None

    @cached_property
    def delivery(self) -> DeliveryHeaders:
        """What its headers say about attempts and replays."""
        own = [header for header in self.original_headers if header[0].lower() in OWN]
        return read_delivery(own) if own else _FIRST

    @property
    def source(self) -> Coordinates:
        """Where the failed record was read."""
        partition, offset = self._error("partition"), self._error("offset")
        return Coordinates(self.topic, _number(partition, 0), _number(offset, 0))

    @property
    def origin(self) -> Coordinates:
        """The record that the failed one repeated, or the failed one itself: ids of a request derive from it."""
        return self.delivery.origin or self.source

    @property
    def stored_value(self) -> ArtifactRef | None:
        """Where the object store has the value, for one that is too large for the topic. Raises ValueError."""
        key = self._error("value.key")
        if not key:
            return None
        size = _number(self._error("value.size"), -1)
        return ArtifactRef(key=key, sha256=self._error("value.sha256"), size=size)

    @property
    def omitted(self) -> tuple[str, ...]:
        """The parts of the record that are missing, because it was too large for the topic and could not be stored."""
        omitted = self._error("omitted")
        return tuple(part.strip() for part in omitted.split(",") if part.strip()) if omitted else ()

    @cached_property
    def body(self) -> Any:
        """The value as JSON; None where it is not JSON."""
        try:
            return from_json(json_text(self.value or b""))
        except ValueError:
            return None

    def is_request(self, topic_prefix: str) -> bool:
        """Whether the record is a request of a user, of whichever lane, not a task of ours."""
        topic = self.topic or ""
        return topic.startswith(topic_prefix) and takes_requests(topic.removeprefix(topic_prefix))

    def request(self, topic_prefix: str) -> dict[str, Any]:
        """The request in its value; empty where there is none."""
        body = self.body
        if isinstance(body, dict) and not self.is_request(topic_prefix):
            body = body.get("request")
        return body if isinstance(body, dict) else {}

    def identity(self, topic_prefix: str) -> BestEffortIdentity | None:
        """The job of the record, found as the stages find it; None when it names none. Never raises."""
        if self._identity is _UNKNOWN:
            if self.value is None and _JOB_ID.fullmatch(job := self._error("job")):
                # The object store has the value: the stage that read it has named its job.
                self._identity = BestEffortIdentity(JobIdentity(job, ""), self._error("tenant") or DEFAULT_TENANT)
            elif self.is_request(topic_prefix):
                origin = self.origin
                self._identity = identify_best_effort(
                    self.value, self.key, origin.topic, origin.partition, origin.offset
                )
            else:
                self._identity = self._plain_task() or identify_task_best_effort(
                    self.value, self.key, self.original_headers
                )
        found: BestEffortIdentity | None = self._identity
        return found

    def _plain_task(self) -> BestEffortIdentity | None:
        """The job of a task whose key, headers and value agree, without batch and labels; None for any other record.

        Nearly all dead letters are such, and this takes a fifth of the time of `identify_task_best_effort`.
        """
        body, request = self.body, self.request("")
        if not isinstance(body, dict) or not request or request.get("batch") or request.get("labels"):
            return None
        job, tenant, request_id = body.get("job_id"), request.get("tenant"), body.get("request_id")
        if not (isinstance(job, str) and isinstance(tenant, str) and isinstance(request_id, str)):
            return None
        if self.key != job.encode(errors="replace") or not _JOB_ID.fullmatch(job) or not _TENANT.fullmatch(tenant):
            return None
        names = [value for name, value in self.original_headers if name.lower() in _NAMES]
        if names and not (len(names) == 2 and self._is_named(names, f"{tenant}/{job}", job)):
            return None
        if not _REQUEST_ID.fullmatch(request_id) or len(self.value or b"") > MAX_ENVELOPE_BYTES:
            return None
        return BestEffortIdentity(JobIdentity(job, request_id), tenant)

    @staticmethod
    def _is_named(names: list[bytes | None], full: str, job: str) -> bool:
        event_id, subject = sorted((name or b"" for name in names), key=len, reverse=True)
        return subject == job.encode() and event_id.startswith(f"{full}:".encode())


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 19 else default
