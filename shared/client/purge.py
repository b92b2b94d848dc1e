"""Deletes what is stored of a job: artifacts, markers, checkpoints, the cached outputs that it used, the values of its
dead letters in the object store, and the inputs that a client uploaded.

Two documents stay, without data of the user: the request that claimed the job id, and the terminal event. By them a
request that is delivered again, or sent again, finds a job that has ended; it is not rendered again.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from shared.client import history, purged_dead_letters, purged_objects, request_log
from shared.client.cancellation import publish_event, send_command
from shared.client.connection import Connection
from shared.client.errors import JobNotFinished, PurgeIncomplete, StoreUnreachable
from shared.client.job_key import JobKey
from shared.client.purged_dead_letters import JobDeadLetters
from shared.client.purged_end import NO_SHA256, without_user_data
from shared.client.purged_objects import Count
from shared.client.request_log import SentRequest
from shared.client.row_requests import RowRequests
from shared.messages.codes import Code
from shared.messages.events import AnyEvent, Failed, TerminalEvent
from shared.messages.events import Purged as PurgedEvent
from shared.messages.request import Batch
from shared.messages.topics import EVENTS, JOBS, retry_topic, work_topics
from shared.storage import keys, markers
from shared.storage.errors import ArtifactAltered, ArtifactRefused, StorageError, StoreUnavailable
from shared.storage.markers import RequestRecord

PURGED_EARLY = "The job was purged before it ended."


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge deleted, and what it left: number and bytes of objects by class."""

    deleted: dict[str, Count]
    """video, poster, frames, checkpoints, "<stage> artifacts", markers, inputs, cache, "dead letters"."""
    kept: dict[str, Count]
    """"output bucket", "other inputs"."""
    event_published: bool
    """False: the broker does not take the ``purged`` event from this client, and lists of jobs show the old state."""
    dead_letters: tuple[str, ...] = ()
    """Dead letters of the job, ``<topic> <partition>:<offset>``: their records stay until the topic's retention."""
    dead_letters_read: bool = True
    """False: there may be more; this client may not read the topics."""
    records_kept: tuple[str, ...] = ()
    """Topics that hold other records of the job until their retention."""


def purge(
    connection: Connection,
    job: JobKey,
    *,
    force: bool = False,
    row: RowRequests | None = None,
    dead_letters: JobDeadLetters | None = None,
) -> Purged:
    """Delete the job's objects; an interrupted purge can be repeated.

    Kept are copies in an output bucket, inputs that this library did not upload (other jobs may use them), records on
    Kafka's topics, and two documents without data of the user. Another job that uses one of the deleted cached outputs
    at this moment fails. ``force`` also purges a job that has not ended: it is cancelled. ``row``: the requests of a
    batch, whose job it must be. ``dead_letters``: the dead letters, where several jobs are purged; read here when None.
    Raises JobNotFound when nothing is stored of the job, JobPurged, JobNotFinished, JobConflict when the job is not the
    batch's, PurgeIncomplete, StoreUnreachable, BrokerUnreachable.
    """
    with _deleting(job):
        record: RequestRecord | None = None
        terminal: TerminalEvent | None = None
        with suppress(ArtifactAltered):  # A damaged document must not keep the user's data from being deleted.
            record = markers.read_request(connection.documents, job.tenant, job.job_id)
        with suppress(ArtifactAltered):
            terminal = markers.read_end(connection.documents, job.tenant, job.job_id)
        objects = list(connection.artifacts.list_prefix(keys.job_prefix(job.tenant, job.job_id)))
        if row is not None:
            row.check(record or _claimed_by(terminal))
        sent: SentRequest | None = None
        if record is None or (terminal is None and force):
            sent = next(iter(row.sent), None) if row is not None else request_log.find(connection, job)
        if record is None and not objects and sent is None:
            raise history.not_found(job)
        # A request that expired or can't be read; the inputs are found by their keys.
        record = record or (sent.record if sent is not None else RequestRecord(request_id="", body_sha256=NO_SHA256))
        if record.purged_ms is not None and len(objects) <= purged_objects.DOCUMENTS:
            raise history.purged(job, record.purged_ms)
        if terminal is None:
            if not force:
                raise JobNotFinished(f"job {job.job_id} has not ended; services may still need its objects")
            record, terminal = _end(connection, job, record, sent.batch if sent is not None else None, row)
        now_ms = int(time.time() * 1000)
        dead_letters = dead_letters if dead_letters is not None else purged_dead_letters.find(connection, [job])
        own = dead_letters.by_job.get(job, [])
        deleted, kept = purged_objects.delete(connection, job, record, terminal, objects, own)
        # Last: the stored request names the inputs, so a purge that was interrupted can be repeated.
        without_inputs = record.model_copy(update={"inputs": (), "owner": None, "purged_ms": now_ms})
        markers.record_purge(connection.documents, job.tenant, job.job_id, without_inputs, without_user_data(terminal))
    events: list[AnyEvent] = [_purged(terminal, now_ms)]
    if isinstance(terminal, Failed) and terminal.message == PURGED_EARLY:  # Also of an interrupted purge.
        events.insert(0, terminal)
    published = all(publish_event(connection, event) for event in events)
    names = tuple(f"{one.topic} {one.id}" for one in own)
    return Purged(deleted, kept, published, names, dead_letters.complete, _topics_of(connection))


def _topics_of(connection: Connection) -> tuple[str, ...]:
    """The topics that may hold records of a job, beside those of dead letters."""
    settings = connection.settings
    return (*work_topics(settings.engines), *(retry_topic(tier) for tier in settings.tiers), EVENTS, JOBS)


def _claimed_by(terminal: TerminalEvent | None) -> RequestRecord | None:
    """The request that a terminal event names, for a job whose stored request is gone."""
    return RequestRecord(request_id=terminal.request_id, body_sha256=NO_SHA256) if terminal is not None else None


def _end(
    connection: Connection, job: JobKey, record: RequestRecord, batch: Batch | None, row: RowRequests | None
) -> tuple[RequestRecord, TerminalEvent]:
    """Cancel a job that has not ended; returns the request that has the job id, and the terminal event.

    Its request claims the job id first: a service that takes it later finds the job ended.
    """
    with suppress(ArtifactAltered):  # A document that can't be read is replaced at the end of the purge.
        record = markers.claim_request(connection.documents, job.tenant, job.job_id, record).winner
    if row is not None:
        row.check(record)
    terminal: TerminalEvent = Failed(
        job_id=job.job_id,
        tenant=job.tenant,
        request_id=record.request_id,
        time_ms=int(time.time() * 1000),
        attempt=1,
        trace_id=None,
        batch=batch,
        stage="audio",
        code=Code.CANCELLED,
        message=PURGED_EARLY,
    )
    with suppress(ArtifactAltered):
        claim = markers.claim_end(connection.documents, job.tenant, job.job_id, terminal, of_any_replay=True)
        terminal = claim.winner
    send_command(connection, job)
    return record, terminal


def _purged(terminal: TerminalEvent, now_ms: int) -> PurgedEvent:
    return PurgedEvent(
        job_id=terminal.job_id,
        tenant=terminal.tenant,
        request_id=terminal.request_id,
        time_ms=now_ms,
        attempt=1,
        trace_id=None,
        batch=terminal.batch,
    )


@contextmanager
def _deleting(job: JobKey) -> Iterator[None]:
    try:
        yield
    except StoreUnavailable as e:
        raise StoreUnreachable(str(e)) from None
    except ArtifactRefused as e:
        raise PurgeIncomplete(f"not every object of job {job.job_id} could be deleted: {e}") from None
    except StorageError as e:
        raise PurgeIncomplete(f"what is stored of job {job.job_id} can't be read: {e}") from None
