"""Makes metrics, each with an entry in the catalogue, which the documentation and the checks of rules read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram

Kind = Literal["counter", "gauge", "histogram"]

LABELS = {
    "stage": "audio, face, infer, encode, relay, projection, gateway or webhooks",
    "engine": "an engine of `LIPSTAGE_ENGINES`; `other`: one that is not enabled, or a request that can't be read",
    "outcome": "how the record or the job ended, see the metric",
    "code": "a public code ([messages](messages.md)); empty where nothing failed",
    "failure_class": "a class of the [failure table](delivery.md#failure-classes)",
    "direction": "`get` (read) or `put` (written)",
    "result": "see the metric",
    "reason": "see the metric",
    "tier": "a delay of `LIPSTAGE_RETRY_TIERS`",
    "topic": "a topic of the stage, with `LIPSTAGE_TOPIC_PREFIX`",
    "partition": "number of a partition of the topic",
    "operation": "method of an object store client, such as `artifacts.put`; one attempt, with its body",
    "record": "`request`, `cancel`",
    "kind": "`container`: sound against picture in the file; `lip`: mouth against sound; `audio`: the larger of both",
    "quota": "`jobs_in_flight`, `speech_s_per_hour` or `pixels_per_hour`",
    "method": "HTTP method; `other`: one that no route has; of gRPC: method of the service",
    "route": "path of the gateway's route, with names in place of ids; `other`: no such path",
    "status": "HTTP status of the answer; of gRPC: its name, as `OK` or `NOT_FOUND`",
    "slot": "number of the slot, from 0",
    "version": "version of lipstage",
}
"""The values of every label. All are bounded: neither a sender nor the number of tenants can add series."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One metric of the catalogue."""

    name: str
    """As in queries: of a counter with ``_total``, of a histogram without ``_bucket``."""
    kind: Kind
    unit: str
    """Base unit: seconds, bytes, ratio (0..1); or what is counted."""
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, in its unit, without infinity."""

    @property
    def series(self) -> tuple[str, ...]:
        """The names that queries use."""
        if self.kind == "histogram":
            return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))
        return (self.name,)


CATALOGUE: dict[str, Entry] = {}
"""Every metric of lipstage, by name."""


def enter(
    name: str, kind: Kind, unit: str, meaning: str, labels: Sequence[str], buckets: Sequence[float] = ()
) -> Entry:
    """Add a metric to the catalogue. Raises ValueError for a second one of that name or an unknown label."""
    if name in CATALOGUE or not LABELS.keys() >= set(labels):
        raise ValueError(f"{name}: it is in the catalogue, or has a label that LABELS does not describe")
    entry = CATALOGUE[name] = Entry(name, kind, unit, meaning, tuple(labels), tuple(buckets))
    return entry


def counter(name: str, unit: str, meaning: str, *labels: str) -> Counter:
    """A counter of the catalogue; ``name`` ends in ``_total``."""
    enter(name, "counter", unit, meaning, labels)
    return Counter(name, meaning, labels)


def gauge(name: str, unit: str, meaning: str, *labels: str) -> Gauge:
    """A gauge of the catalogue."""
    enter(name, "gauge", unit, meaning, labels)
    return Gauge(name, meaning, labels)


def histogram(name: str, unit: str, meaning: str, *labels: str, buckets: Sequence[float]) -> Histogram:
    """A histogram of the catalogue; ``buckets`` are upper bounds in ``unit``."""
    enter(name, "histogram", unit, meaning, labels, buckets)
    return Histogram(name, meaning, labels, buckets=buckets)


class LabelValues:
    """The values that a label may have. What else arrives becomes ``other``, so that no sender can add series."""

    OTHER = "other"

    def __init__(self) -> None:
        self._allowed: frozenset[str] = frozenset()

    def allow(self, values: Iterable[str]) -> None:
        """Add values, at the start of the process."""
        self._allowed |= frozenset(values)

    def of(self, value: str | None) -> str:
        """The label's value for ``value``."""
        return value if value is not None and value in self._allowed else self.OTHER
