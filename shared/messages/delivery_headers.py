"""The headers that carry a record's attempts, retries and replays from topic to topic.

They are replaced, never appended: the number of headers is the same from attempt to attempt. All values are ASCII.

Whoever may write to ``render.requests`` may forge them there: they must concern the sender's own job only.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ATTEMPT = "lipstage-attempt"
"""Number of the attempt that this record is for, from 1; absent means 1."""
REPLAY_COUNT = "lipstage-replay-count"
"""How often the job was replayed from a dead letter; absent means 0. Stages copy it to the tasks that they publish."""
ORIGIN = "lipstage-origin"
"""``topic/partition/offset`` of the record that this one repeats: the ids of a request without a job id derive from
them."""
RETRY_TOPIC = "lipstage-retry-topic"
"""On retry topics only: the topic that the record returns to, with the deployment's prefix."""
RETRY_CODE = "lipstage-retry-code"
"""On retry topics only: public code of the failure that the retry follows."""
RETRIES = "lipstage-retries"
"""How often the record was on a retry topic: it chooses the next tier. Absent means 0."""
ORIGIN_TIME = "lipstage-origin-time"
"""The broker's timestamp of the record that this one repeats, milliseconds since the epoch: a deadline counts from
it."""
OWN = frozenset({ATTEMPT, REPLAY_COUNT, ORIGIN, ORIGIN_TIME, RETRIES, RETRY_TOPIC, RETRY_CODE})
TRACE = frozenset({"traceparent", "tracestate", "baggage"})

MAX_COUNT = 999_999
"""Largest count that is read; a larger one is taken for it, so that one more can still be written and read."""
_NUMBER = re.compile(r"[0-9]{1,9}")
_TIME = re.compile(r"[0-9]{12,14}")
_ORIGIN = re.compile(r"([A-Za-z0-9._-]{1,249})/([0-9]{1,9})/([0-9]{1,19})")

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Coordinates:
    """The place of a record."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class DeliveryHeaders:
    """What these headers say of one record; the defaults where one is absent or malformed."""

    attempt: int = 1
    replays: int = 0
    retries: int = 0
    origin: Coordinates | None = None
    origin_ms: int | None = None
    retry_topic: str | None = None
    retry_code: str | None = None


def read_delivery(headers: Iterable[tuple[str, bytes | None]] | None) -> DeliveryHeaders:
    """Read the headers; the last value of a name counts. Never raises."""
    values: dict[str, str] = {}
    for name, value in headers or ():
        if name.lower() in OWN and value is not None:
            values[name.lower()] = value.decode("ascii", "replace")
    origin = _ORIGIN.fullmatch(values.get(ORIGIN, ""))
    return DeliveryHeaders(
        attempt=max(1, _number(values.get(ATTEMPT), 1)),
        replays=_number(values.get(REPLAY_COUNT), 0),
        retries=_number(values.get(RETRIES), 0),
        origin=Coordinates(origin[1], int(origin[2]), int(origin[3])) if origin else None,
        origin_ms=int(values[ORIGIN_TIME]) if _TIME.fullmatch(values.get(ORIGIN_TIME, "")) else None,
        retry_topic=values.get(RETRY_TOPIC),
        retry_code=values.get(RETRY_CODE),
    )


def first_attempt(replays: int) -> list[tuple[str, bytes]]:
    """The headers of a task at its first attempt. All of them are there, so that a retry only changes their values; the
    origin is empty, because the task repeats no record."""
    values = {ATTEMPT: "1", RETRIES: "0", ORIGIN: "", ORIGIN_TIME: "", REPLAY_COUNT: str(replays)}
    return [(name, value.encode()) for name, value in values.items()]


def _number(text: str | None, default: int) -> int:
    return min(int(text), MAX_COUNT) if text is not None and _NUMBER.fullmatch(text) else default


def without(headers: Iterable[tuple[str, bytes | None]], names: Iterable[str]) -> list[tuple[str, bytes | None]]:
    """The other headers in their order, byte-identical; ``names`` in lower case match in any case."""
    left_out = frozenset(names)
    return [(name, value) for name, value in headers if name.lower() not in left_out]


def source_of(
    headers: Iterable[tuple[str, bytes | None]] | None, topic: str, partition: int, offset: int
) -> Coordinates:
    """The coordinates from which the ids of a record's job derive: those of the record that it repeats, where its
    headers name one, else its own. Never raises."""
    return read_delivery(headers).origin or Coordinates(topic, partition, offset)
