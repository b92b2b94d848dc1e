"""Until when the topics keep the records of a job: a record can't be deleted from the middle of a topic."""

import math
from collections.abc import Iterable

from confluent_kafka import KafkaException

from shared.client.connection import Connection
from shared.messages.lanes import LANES, lane_topic
from shared.messages.topics import (
    CHUNKS,
    DLQ,
    EVENTS,
    JOBS,
    PARKED,
    REQUEST_TOPICS,
    REQUESTS,
    WEBHOOKS,
    retry_topic,
    work_topics,
)
from shared.runtime.admin_process import START_S, AdminProcess
from shared.storage.retention import DAY_MS, topic_days

ANSWER_S = 10.0
KEYS = ["cleanup.policy", "retention.ms", "segment.ms", "max.compaction.lag.ms"]
FOREVER_DAYS = 36_500.0
"""A longer time is none that anybody waits for: the broker's defaults are 292 million years."""


def topics_of_jobs(connection: Connection, tenant: str) -> tuple[str, ...]:
    """The topics that may hold records of a job of the tenant, beside those of dead letters, without the deployment's
    prefix. Of requests and events these are the tenant's own where it has some (LIPSTAGE_TENANCY=topic)."""
    settings = connection.settings
    requests = (lane_topic(settings.topic_of(REQUESTS, tenant), lane) for lane in LANES)
    own = dict(zip(REQUEST_TOPICS, requests, strict=True)) | {EVENTS: settings.topic_of(EVENTS, tenant)}
    names = (
        *work_topics(settings.engines),
        *(retry_topic(tier) for tier in settings.tiers),
        EVENTS,
        CHUNKS,
        JOBS,
        WEBHOOKS,
    )
    return tuple(own[name].removeprefix(settings.topic_prefix) if name in own else name for name in names)


def days(connection: Connection, tenants: Iterable[str]) -> dict[str, float]:
    """How long each of these topics, and those of dead letters, keeps a record at most, days; by the broker.

    The state of a job on ``render.jobs`` is replaced by one without data of the user; what it replaces is compacted
    within this time. Infinite where a topic keeps records for ever; empty when the broker does not tell this client,
    as of a topic that does not exist.
    """
    of_jobs = [name for tenant in sorted(set(tenants)) for name in topics_of_jobs(connection, tenant)]
    names = list(dict.fromkeys([*of_jobs, DLQ, PARKED]))
    request = AdminProcess(
        connection.settings,
        "configs",
        START_S + ANSWER_S,
        names=[connection.topic(name) for name in names],
        keys=KEYS,
    )
    try:
        configs = request.result()
    except KafkaException:
        return {}
    return {name: _days(configs[connection.topic(name)]) for name in names}


def _days(config: dict[str, str]) -> float:
    found = (
        int(config["max.compaction.lag.ms"]) / DAY_MS if config["cleanup.policy"] == "compact" else topic_days(config)
    )
    return found if found < FOREVER_DAYS else math.inf
