"""Every topic with its partitions and configuration; `lipstage topics apply` makes the broker agree."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shared.messages.pipeline import PIPELINE

REQUESTS = "render.requests"
EVENTS = "render.events"
DLQ = "render.dlq"
CANCEL = "render.cancel"

DAY_MS = 24 * 3600 * 1000
WORK_DAYS = 7
"""Retention of tasks. A segment goes when its newest record is that old, and takes records for ``segment.ms`` at most,
7 days too unless the broker says otherwise: some tasks can be delivered for twice as long."""
WORK_PARTITIONS = 16
SIDE_PARTITIONS = 4
MAX_DEAD_LETTER_BYTES = 2 << 20
"""A dead letter is the record with our headers beside it: whatever a broker takes by default must fit with room."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it should be."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    about: str = ""


BROKER_TIME = {"message.timestamp.type": "LogAppendTime"}
"""On every topic: by a producer's clock retention would delete a waiting request at once (timestamps in seconds), or
never; and how long a record waited could not be told."""


def _kept(days: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * DAY_MS), **BROKER_TIME}


def topics(prefix: str, engines: Iterable[str]) -> tuple[Topic, ...]:
    """All topics of a deployment.

    ``prefix`` is put before every name as it is (LIPSTAGE_TOPIC_PREFIX, for example ``staging.``);
    ``engines`` are the enabled engines: each has a topic and a consumer group of its own.
    """
    work: list[Topic] = []
    for step in PIPELINE:
        names = [step.source.format(engine=e) for e in engines] if "{engine}" in step.source else [step.source]
        work += [Topic(n, WORK_PARTITIONS, _kept(WORK_DAYS), f"tasks of the {step.name} stage") for n in names]
    side = [
        Topic(EVENTS, WORK_PARTITIONS, _kept(30), "what happened to every job"),
        Topic(
            DLQ,
            SIDE_PARTITIONS,
            _kept(30) | {"max.message.bytes": str(MAX_DEAD_LETTER_BYTES)},
            "records that could not be processed, byte-identical",
        ),
        Topic(CANCEL, SIDE_PARTITIONS, {"cleanup.policy": "compact", **BROKER_TIME}, "jobs to be cancelled"),
    ]
    return tuple(Topic(prefix + t.name, t.partitions, t.config, t.about) for t in (*work, *side))
