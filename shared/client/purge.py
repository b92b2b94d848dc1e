"""Deletes what is stored of a job: artifacts, markers, checkpoints, the cached outputs that it made or used, its files
in an output bucket, the values of its dead letters in the object store, and the inputs that a client uploaded.

Two documents stay, without data of the user: the request that claimed the job id, and the terminal event. By them a
request that is delivered again, or sent again, finds a job that has ended; it is not rendered again. A record of the
erasure is added: see `shared.client.erasure_records`.
"""

import math
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from shared.client import erasure_records, history, purged_dead_letters, purged_objects, records_kept, request_log
from shared.client.cancellation import publish_event, send_command
from shared.client.connection import Connection
from shared.client.errors import JobNotFinished, PurgeIncomplete, StoreUnreachable
from shared.client.job_key import JobKey
from shared.client.media_search import Upload
from shared.client.purged_dead_letters import JobDeadLetters
from shared.client.purged_end import NO_SHA256, without_user_data
from shared.client.purged_objects import Count, Deletion
from shared.client.request_log import SentRequest
from shared.client.row_requests import RowRequests
from shared.messages.codes import Code
from shared.messages.events import AnyEvent, Failed, TerminalEvent
from shared.messages.events import Purged as PurgedEvent
from shared.messages.request import Batch
from shared.storage import erased_jobs, keys, markers
from shared.storage.cache_index import CachedBy
from shared.storage.erased_jobs import LONGEST_ATTEMPT_S
from shared.storage.errors import ArtifactAltered, ArtifactRefused, StorageError, StoreUnavailable
from shared.storage.markers import RequestRecord

PURGED_EARLY = "The job was purged before it ended."


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge deleted, and what it left: number and bytes of objects by class."""

    deleted: dict[str, Count]
    """video, poster, frames, checkpoints, "<stage> artifacts", markers, inputs, cache, "output bucket", "dead letters";
    "old versions" of a bucket with versioning, without bytes."""
    kept: dict[str, Count]
    """"output bucket" where the object store refuses to delete, "other inputs"."""
    event_published: bool
    """False: the broker does not take the ``purged`` event from this client, and lists of jobs show the old state."""
    dead_letters: tuple[str, ...] = ()
    """Dead letters of the job, ``<topic> <partition>:<offset>``: their records stay until the topic's retention."""
    dead_letters_read: bool = True
    """False: there may be more; this client may not read the topics."""
    records_kept: tuple[str, ...] = ()
    """Topics that hold other records of the job until their retention."""
    records_until: dict[str, int | None] = field(default_factory=dict)
    """Until when each topic keeps a record of the job at most, those of dead letters too where there are any:
    milliseconds since the epoch, None for ever; empty when the broker does not tell this client."""
    versions_unchecked: tuple[str, ...] = ()
    """Buckets whose versioning this client may not read: old versions may stay there."""


def purge(
    connection: Connection,
    job: JobKey,
    *,
    force: bool = False,
    row: RowRequests | None = None,
    dead_letters: JobDeadLetters | None = None,
    days: Mapping[str, float] | None = None,
) -> Purged:
    """Delete the job's objects; an interrupted purge can be repeated.

    Kept are inputs that this library did not upload (other jobs may use them), records on Kafka's topics, and two
    documents without data of the user. Another job that uses one of the deleted cached outputs at this moment fails.
    ``force`` also purges a job that has not ended: it is cancelled. ``row``: the requests of a batch, whose job it must
    be. ``dead_letters``, and ``days``, how long topics keep records, are for purges of several jobs; read here when
    None. Raises JobNotFound when nothing is stored of the job, JobPurged, JobNotFinished, JobConflict when the job is
    not the batch's, PurgeIncomplete, StoreUnreachable, BrokerUnreachable.
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
            if terminal is not None:  # The purge may have been interrupted before its events.
                _publish(connection, terminal, record.purged_ms)
            raise history.purged(job, record.purged_ms)
        if terminal is None:
            if not force:
                raise JobNotFinished(f"job {job.job_id} has not ended; services may still need its objects")
            record, terminal = _end(connection, job, record, sent.batch if sent is not None else None, row)
        now_ms = int(time.time() * 1000)
        may_be_written = now_ms - terminal.time_ms < LONGEST_ATTEMPT_S * 1000
        dead_letters = dead_letters if dead_letters is not None else purged_dead_letters.find(connection, [job])
        own = dead_letters.by_job.get(job, [])
        if may_be_written and record.purged_ms is None:
            erased_jobs.note(connection.documents, *job, record.output)
        deletion = Deletion(connection)
        deletion.job(job, record, terminal, own, may_be_written=may_be_written)
        days = days if days is not None else records_kept.days(connection, [job.tenant])
        topics = (*records_kept.topics_of_jobs(connection, job.tenant), *sorted({one.topic for one in own}))
        until = {name: _after(days[name], now_ms) for name in topics if name in days}
        erasure_records.add(connection, job, now_ms, deletion, until)
        # Last: the stored request names the inputs, so a purge that was interrupted can be repeated.
        nothing: dict[str, object] = {"inputs": (), "owner": None, "output": None}
        without = record.model_copy(update=nothing | {"purged_ms": now_ms})
        markers.record_purge(connection.documents, job.tenant, job.job_id, without, without_user_data(terminal))
        deletion.old_documents(job)
    return Purged(
        deletion.deleted,
        deletion.kept,
        _publish(connection, terminal, now_ms),
        tuple(f"{one.topic} {one.id}" for one in own),
        dead_letters.complete,
        records_kept.topics_of_jobs(connection, job.tenant),
        until,
        tuple(sorted(connection.artifacts.eraser.unchecked)),
    )


def purge_rest(
    connection: Connection,
    tenant: str,
    cached: Collection[CachedBy],
    uploads: Iterable[Upload],
    *,
    quotas: bool,
    webhooks: bool,
) -> tuple[dict[str, Count], dict[str, Count]]:
    """Delete cached outputs and uploads of no known job, with ``quotas`` what the tenant has used of its quotas, with
    ``webhooks`` its endpoints; returns what was deleted, and what is kept.

    Raises StoreUnreachable, PurgeIncomplete.
    """
    deletion = Deletion(connection)
    with _deleting(None):
        for stage, digest in sorted({(one.stage, one.digest) for one in cached}):
            deletion.cached(tenant, stage, digest)
        for upload in uploads:
            deletion.upload(upload.bucket, upload.key)
        if quotas:
            deletion.quotas(tenant)
        if webhooks:
            deletion.webhooks(tenant)
        if deletion.deleted:
            erasure_records.add(connection, JobKey(tenant, ""), int(time.time() * 1000), deletion, {})
        # Last: the index names the cached outputs, so a purge that was interrupted can be repeated.
        deletion.index(cached, may_be_written=False)
    return deletion.deleted, deletion.kept


def _after(days: float, now_ms: int) -> int | None:
    return None if math.isinf(days) else now_ms + round(days * 86_400_000)


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


def _publish(connection: Connection, terminal: TerminalEvent, purged_ms: int) -> bool:
    """Publish that the job was purged, and its end where the purge has ended it; False where the broker refuses."""
    events: list[AnyEvent] = [_purged(terminal, purged_ms)]
    if isinstance(terminal, Failed) and terminal.message == PURGED_EARLY:  # Also of an interrupted purge.
        events.insert(0, terminal)
    return all(publish_event(connection, event) for event in events)


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
def _deleting(job: JobKey | None) -> Iterator[None]:
    whose = f"of job {job.job_id}" if job is not None else "of the file"
    try:
        yield
    except StoreUnavailable as e:
        raise StoreUnreachable(str(e)) from None
    except ArtifactRefused as e:
        raise PurgeIncomplete(f"not every object {whose} could be deleted: {e}") from None
    except StorageError as e:
        raise PurgeIncomplete(f"what is stored {whose} can't be read: {e}") from None
