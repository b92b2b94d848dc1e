"""Finds the dead letters of jobs, for a purge: their records stay on the topics, their values in S3 do not."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field

from shared.client.connection import Connection
from shared.client.dead_letters import scan
from shared.client.dead_letters.dead_letter import DeadLetter
from shared.client.errors import TopicMissing
from shared.client.job_key import JobKey
from shared.messages.headers import read_headers
from shared.messages.names import DEFAULT_TENANT
from shared.messages.topics import DLQ, PARKED
from shared.storage import keys


@dataclass(frozen=True, slots=True)
class PurgedDeadLetter:
    """A dead letter of a job."""

    topic: str
    id: str
    """``partition:offset``."""
    body: str | None
    """Key of its value in the artifact bucket; None where the record holds it."""


@dataclass(slots=True)
class JobDeadLetters:
    """The dead letters of some jobs."""

    by_job: dict[JobKey, list[PurgedDeadLetter]] = field(default_factory=lambda: defaultdict(list))
    complete: bool = True
    """False: this client may not read a topic."""


def find(connection: Connection, jobs: Collection[JobKey]) -> JobDeadLetters:
    """The dead letters of ``jobs``, parked ones too. Reads both topics whole. Raises BrokerUnreachable."""
    found, wanted = JobDeadLetters(), frozenset(jobs)
    for name in (DLQ, PARKED):
        topic = connection.topic(name)
        try:
            parts = scan.ranges(connection, topic)
        except TopicMissing:
            found.complete = False
            continue
        for message in scan.records(connection, topic, parts):
            dead = scan.of_message(message)
            job = _job_of(dead, connection.settings.topic_prefix)
            if job is not None and job in wanted:
                body = dead.errors.get("value.key", "")
                kept = body if keys.is_dead_letter_body(body) else None
                found.by_job[job].append(PurgedDeadLetter(name, dead.id, kept))
    return found


def _job_of(dead: DeadLetter, topic_prefix: str) -> JobKey | None:
    """The job that the stage named, else the one that the record names: earlier versions named none. Headers count also
    where the key names another job: the report must miss none."""
    if job := dead.errors.get("job"):
        return JobKey(dead.errors.get("tenant") or DEFAULT_TENANT, job)
    headers = read_headers(dead.original_headers)
    if headers.job_id is not None and headers.tenant is not None:
        return JobKey(headers.tenant, headers.job_id)
    named = dead.identity(topic_prefix)
    return JobKey(named.tenant, named.identity.job_id) if named is not None else None
