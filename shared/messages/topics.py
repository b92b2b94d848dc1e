"""Every topic with its partitions and configuration; ``lipstage topics apply`` applies them to the broker."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shared.messages.pipeline import PIPELINE
from shared.messages.tiers import DEFAULT_TIERS, Tier

REQUESTS = "render.requests"
EVENTS = "render.events"
DLQ = "render.dlq"
PARKED = "render.parked"
CANCEL = "render.cancel"
REPLAYS = "render.replays"
JOBS = "render.jobs"
"""The state of each job, by the job-state projection; nothing but its restart depends on it."""
CLOCK = "render.clock"
"""Nobody reads it: the delivery report of a record on it tells the relay the broker's time."""
RETRY = "render.retry."
"""Prefix of the retry topics; the name of the tier follows."""

DAY_MS = 24 * 3600 * 1000
EVENTS_DAYS = 30
"""Retention of events, days."""
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


def retry_topic(tier: Tier) -> str:
    """The topic of a retry tier, without the deployment's prefix."""
    return RETRY + tier.name


def work_topics(engines: Iterable[str]) -> dict[str, str]:
    """The topics that stages read, without the deployment's prefix: topic -> stage."""
    names: dict[str, str] = {}
    for step in PIPELINE:
        sources = [step.source.format(engine=e) for e in engines] if step.per_engine else [step.source]
        names |= dict.fromkeys(sources, step.name)
    return names


def topics(prefix: str, engines: Iterable[str], tiers: Iterable[Tier] = DEFAULT_TIERS) -> tuple[Topic, ...]:
    """All topics of a deployment.

    ``prefix`` is prepended to every name (LIPSTAGE_TOPIC_PREFIX, for example ``staging.``). ``engines`` are the enabled
    engines: each has its own topic and consumer group. ``tiers`` are those of LIPSTAGE_RETRY_TIERS.
    """
    work = [
        Topic(name, WORK_PARTITIONS, _retain(WORK_DAYS), f"tasks of the {stage} stage")
        for name, stage in work_topics(tuple(engines)).items()
    ]
    retries = [
        Topic(retry_topic(tier), SIDE_PARTITIONS, _retain(WORK_DAYS), f"records that are retried after {tier.name}")
        for tier in tiers
    ]
    dead = _retain(30) | {"max.message.bytes": str(MAX_DEAD_LETTER_BYTES)}
    side = [
        Topic(EVENTS, WORK_PARTITIONS, _retain(EVENTS_DAYS), "events of all jobs"),
        Topic(DLQ, SIDE_PARTITIONS, dead, "records that could not be processed, unchanged"),
        Topic(PARKED, SIDE_PARTITIONS, dead, "dead letters that are not replayed any more"),
        Topic(CANCEL, SIDE_PARTITIONS, {"cleanup.policy": "compact", **BROKER_TIME}, "cancel commands"),
        Topic(REPLAYS, SIDE_PARTITIONS, {"cleanup.policy": "compact", **BROKER_TIME}, "the state of each dead letter"),
        Topic(JOBS, SIDE_PARTITIONS, {"cleanup.policy": "compact", **BROKER_TIME}, "the state of each job"),
        Topic(CLOCK, 1, _retain(1), "empty records by which the relay learns the broker's time"),
    ]
    return tuple(Topic(prefix + t.name, t.partitions, t.config, t.description) for t in (*work, *retries, *side))
