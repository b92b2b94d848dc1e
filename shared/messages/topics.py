"""Every topic with its partitions and configuration; ``lipstage topics apply`` applies them to the broker."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shared.messages.pipeline import PIPELINE

REQUESTS = "render.requests"
EVENTS = "render.events"
DLQ = "render.dlq"
CANCEL = "render.cancel"

DAY_MS = 24 * 3600 * 1000
WORK_DAYS = 7
"""Retention of tasks, days. A segment is deleted when its newest record is that old, and takes records for at most
``segment.ms``, 7 days by default: some tasks can be delivered for twice as long."""
WORK_PARTITIONS = 16
SIDE_PARTITIONS = 4
MAX_DEAD_LETTER_BYTES = 2 << 20
"""A dead letter is a record with added headers: it must take the largest record that brokers accept by default."""


@dataclass(frozen=True, slots=True)
class Topic:
    """The required state of a topic."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    description: str = ""


BROKER_TIME = {"message.timestamp.type": "LogAppendTime"}
"""On every topic: with the clock of a producer, retention could delete a waiting request at once (timestamps in
seconds) or never, and the queue wait of a record would be unknown."""


def _retain(days: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * DAY_MS), **BROKER_TIME}


def topics(prefix: str, engines: Iterable[str]) -> tuple[Topic, ...]:
    """All topics of a deployment.

    ``prefix`` is prepended to every name (LIPSTAGE_TOPIC_PREFIX, for example ``staging.``). ``engines`` are the enabled
    engines: each has its own topic and consumer group.
    """
    work: list[Topic] = []
    for step in PIPELINE:
        names = [step.source.format(engine=e) for e in engines] if "{engine}" in step.source else [step.source]
        work += [Topic(n, WORK_PARTITIONS, _retain(WORK_DAYS), f"tasks of the {step.name} stage") for n in names]
    side = [
        Topic(EVENTS, WORK_PARTITIONS, _retain(30), "events of all jobs"),
        Topic(
            DLQ,
            SIDE_PARTITIONS,
            _retain(30) | {"max.message.bytes": str(MAX_DEAD_LETTER_BYTES)},
            "records that could not be processed, unchanged",
        ),
        Topic(CANCEL, SIDE_PARTITIONS, {"cleanup.policy": "compact", **BROKER_TIME}, "cancel commands"),
    ]
    return tuple(Topic(prefix + t.name, t.partitions, t.config, t.description) for t in (*work, *side))
