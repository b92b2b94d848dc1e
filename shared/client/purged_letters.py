"""Finds the dead letters of jobs, for a purge: their records stay on the topics, their values in S3 do not.

The topics are scanned by offsets, newest records only, without a consumer group.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field

from confluent_kafka import Message

from shared.client import topic_log
from shared.client.connection import Connection
from shared.client.errors import TopicMissing
from shared.client.job_key import JobKey
from shared.messages.dead_letters import split
from shared.messages.headers import read_headers
from shared.messages.names import DEFAULT_TENANT
from shared.messages.topics import DLQ, PARKED
from shared.storage import keys

MAX_LETTERS = 200_000
"""How many of the newest dead letters of each topic are read."""


@dataclass(frozen=True, slots=True)
class PurgedLetter:
    """A dead letter of a job."""

    topic: str
    id: str
    """``partition:offset``."""
    body: str | None
    """Key of its value in the artifact bucket; None where the record holds it."""


@dataclass(slots=True)
class JobLetters:
    """The dead letters of some jobs."""

    by_job: dict[JobKey, list[PurgedLetter]] = field(default_factory=lambda: defaultdict(list))
    complete: bool = True
    """False: older dead letters were not read, or this client may not read a topic."""


def find(connection: Connection, jobs: Collection[JobKey]) -> JobLetters:
    """The dead letters of ``jobs``, parked ones too. Raises BrokerUnreachable."""
    found, wanted = JobLetters(), frozenset(jobs)
    names = {job.job_id.encode() for job in wanted}
    for name in (DLQ, PARKED):
        topic = connection.topic(name)
        try:
            window = topic_log.newest(connection, topic, MAX_LETTERS)
        except TopicMissing:
            found.complete = False
            continue
        found.complete = found.complete and not window.cut
        for message in topic_log.records(connection, topic, window.offsets):
            job, body = _read(message, names)
            if job in wanted:
                letter = PurgedLetter(name, f"{message.partition()}:{message.offset()}", body)
                found.by_job[job].append(letter)
    return found


def _read(message: Message, names: Collection[bytes]) -> tuple[JobKey | None, str | None]:
    """The job of a dead letter, and the key of its value; earlier versions named the job in the record's own headers
    and key alone."""
    original, fields = split(message.headers())  # type: ignore[arg-type]
    if fields.get("job"):
        job = JobKey(fields.get("tenant") or DEFAULT_TENANT, fields["job"])
        body = fields.get("value.key", "")
        return job, body if keys.is_dead_letter_body(body) else None
    named, key = read_headers(original), topic_log.key_of(message)
    if named.job_id is not None and named.tenant is not None:
        return JobKey(named.tenant, named.job_id), None
    return (JobKey(DEFAULT_TENANT, key.decode()), None) if key is not None and key in names else (None, None)
