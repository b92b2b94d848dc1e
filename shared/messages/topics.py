"""Every topic with its partitions and configuration; ``lipstage topics apply`` applies them to the broker."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shared.messages.lanes import LANES, lane_of, lane_topic
from shared.messages.pipeline import PIPELINE
from shared.messages.tiers import DEFAULT_TIERS, Tier

REQUESTS = "render.requests"
REQUEST_TOPICS = tuple(lane_topic(REQUESTS, lane) for lane in LANES)
"""Where clients send requests, one topic a lane."""
EVENTS = "render.events"
DLQ = "render.dlq"
PARKED = "render.parked"
CANCEL = "render.cancel"
REPLAYS = "render.replays"
JOBS = "render.jobs"
"""The state of each job, by the job-state projection; nothing but its restart depends on it."""
CHUNKS = "render.chunks"
"""Notices of stored chunks, by which a stage starts early. Every replica of that stage reads all of them, from now on:
none is needed later."""
WEBHOOKS = "render.webhooks"
"""Notices of ended renders, one for each endpoint that is to be told of it."""
CLOCK = "render.clock"
"""Nobody reads it: the delivery report of a record on it tells the relay the broker's time."""
RETRY = "render.retry."
"""Prefix of the retry topics; the name of the tier follows."""

DAY_MS = 24 * 3600 * 1000
EVENTS_DAYS = 30
"""Retention of events by default (LIPSTAGE_RETENTION_EVENTS_DAYS), days."""
DEAD_LETTERS_DAYS = 30
"""Retention of dead-letter records by default (LIPSTAGE_RETENTION_DEAD_LETTER_RECORDS_DAYS), days."""
WORK_DAYS = 7
"""Retention of tasks, days. A segment is deleted when its newest record is that old, and takes records for at most
``segment.ms``, 7 days by default: some tasks can be delivered for twice as long."""
COMPACTION_DAYS = 7
"""After how many days a record of a compacted topic that a newer one replaces is deleted: by default a broker compacts
when it likes to, and what was said of an erased job would stay."""
WORK_PARTITIONS = 16
"""Of every topic of tasks by default (LIPSTAGE_WORK_PARTITIONS); more replicas of a stage than that stay idle."""
EVENTS_PARTITIONS = 16
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


COMPACTED = {"cleanup.policy": "compact", "max.compaction.lag.ms": str(COMPACTION_DAYS * DAY_MS), **BROKER_TIME}


def retry_topic(tier: Tier) -> str:
    """The topic of a retry tier, without the deployment's prefix."""
    return RETRY + tier.name


def work_topics(engines: Iterable[str]) -> dict[str, str]:
    """The topics that stages read, of both lanes, without the deployment's prefix: topic -> stage."""
    names: dict[str, str] = {}
    for step in PIPELINE:
        for engine in engines if step.per_engine else (None,):
            names |= dict.fromkeys(step.topics(engine), step.name)
    return names


def topics(
    prefix: str,
    engines: Iterable[str],
    tiers: Iterable[Tier] = DEFAULT_TIERS,
    work_partitions: int = WORK_PARTITIONS,
    *,
    events_days: int = EVENTS_DAYS,
    dead_letters_days: int = DEAD_LETTERS_DAYS,
) -> tuple[Topic, ...]:
    """All topics of a deployment.

    ``prefix`` is prepended to every name (LIPSTAGE_TOPIC_PREFIX, for example ``staging.``). ``engines`` are the enabled
    engines: each has its own topic and consumer group. ``tiers`` are those of LIPSTAGE_RETRY_TIERS.
    ``work_partitions`` is the number of partitions of each topic of tasks (LIPSTAGE_WORK_PARTITIONS). ``events_days``
    and ``dead_letters_days`` are the retention of events and of dead-letter records.
    """
    work = [
        Topic(name, work_partitions, _retain(WORK_DAYS), f"{lane_of(name)} tasks of the {stage} stage")
        for name, stage in work_topics(tuple(engines)).items()
    ]
    retries = [
        Topic(retry_topic(tier), SIDE_PARTITIONS, _retain(WORK_DAYS), f"records that are retried after {tier.name}")
        for tier in tiers
    ]
    dead = _retain(dead_letters_days) | {"max.message.bytes": str(MAX_DEAD_LETTER_BYTES)}
    side = [
        Topic(EVENTS, EVENTS_PARTITIONS, _retain(events_days), "events of all jobs"),
        Topic(DLQ, SIDE_PARTITIONS, dead, "records that could not be processed, unchanged"),
        Topic(PARKED, SIDE_PARTITIONS, dead, "dead letters that are not replayed any more"),
        Topic(CANCEL, SIDE_PARTITIONS, COMPACTED, "cancel commands"),
        Topic(REPLAYS, SIDE_PARTITIONS, COMPACTED, "the state of each dead letter"),
        Topic(JOBS, SIDE_PARTITIONS, COMPACTED, "the state of each job"),
        Topic(CHUNKS, SIDE_PARTITIONS, _retain(1), "notices of stored chunks: the next stage may start early"),
        Topic(WEBHOOKS, SIDE_PARTITIONS, _retain(WORK_DAYS), "notices of ended renders for the endpoints of tenants"),
        Topic(CLOCK, 1, _retain(1), "empty records by which the relay learns the broker's time"),
    ]
    return tuple(Topic(prefix + t.name, t.partitions, t.config, t.description) for t in (*work, *retries, *side))
