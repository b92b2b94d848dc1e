"""Deletes the objects of a job, and counts them by class."""

from collections.abc import Iterable
from dataclasses import dataclass

from botocore.exceptions import ClientError

from shared.client.connection import Connection
from shared.client.job_key import JobKey
from shared.client.purged_dead_letters import PurgedDeadLetter
from shared.client.submission import INPUT_ALIAS, UPLOADED_BY
from shared.messages.events import Done, TerminalEvent
from shared.messages.pipeline import STAGES
from shared.messages.refs import InputRef
from shared.storage import keys, markers
from shared.storage.artifacts import Listed
from shared.storage.errors import ArtifactAltered, ArtifactRefused, is_missing, store_errors
from shared.storage.markers import RequestRecord
from shared.storage.settings import ARTIFACTS

DOCUMENTS = 2
"""Documents of a purged job: its request and its terminal event."""
RESULTS = {"video.mp4": "video", "poster.jpg": "poster"}


@dataclass(slots=True)
class Count:
    """A number of objects, and their size in bytes."""

    objects: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        """Count one more object."""
        self.objects += 1
        self.bytes += size


Counts = dict[str, Count]


def delete(
    connection: Connection,
    job: JobKey,
    record: RequestRecord,
    terminal: TerminalEvent,
    objects: Iterable[Listed],
    dead_letters: Iterable[PurgedDeadLetter],
) -> tuple[Counts, Counts]:
    """Delete the inputs and ``objects`` of a job, the cached outputs that its markers name, and the values of its dead
    letters in the bucket; returns what was deleted and what is kept.

    The documents of the request and of the terminal event are kept. Raises StoreUnavailable, ArtifactRefused.
    """
    deleted, kept = Counts(), Counts()
    prefix = keys.job_prefix(job.tenant, job.job_id)
    documents = {keys.request(job.tenant, job.job_id), keys.end(job.tenant, job.job_id)}
    _delete_cached(connection, job, deleted)
    _delete_bodies(connection, [one.body for one in dead_letters if one.body is not None], deleted)
    for ref in (terminal.video, terminal.poster) if isinstance(terminal, Done) else ():
        if ref.bucket != ARTIFACTS:
            _count(kept, "output bucket", ref.size)
    for input_ref in record.inputs:
        _delete_input(connection, input_ref, job.tenant, deleted, kept)
    _delete_uploads(connection, job, deleted)
    unwanted = [entry for entry in objects if entry.key not in documents]
    index = list(connection.artifacts.list_prefix(keys.frames_prefix(job.tenant, job.job_id)))
    # First: the janitor need not look for frames that are gone.
    connection.artifacts.delete([entry.key for entry in index])
    connection.artifacts.delete([entry.key for entry in unwanted])
    for entry in unwanted:
        _count(deleted, _class_of(entry.key.removeprefix(prefix)), entry.size)
    return deleted, kept


def _class_of(path: str) -> str:
    """The class of an object by its path below the job's prefix: ``<stage>.json`` or ``<stage>/<attempt>/<name>``."""
    stage, _, rest = path.partition("/")
    folder, _, name = rest.partition("/")
    if not rest:
        return "markers"
    if folder == keys.CHECKPOINTS:
        return "checkpoints"
    if stage == "encode" and name in RESULTS:
        return RESULTS[name]
    return "frames" if stage == "infer" else f"{stage} artifacts"


def _delete_cached(connection: Connection, job: JobKey, deleted: Counts) -> None:
    """Delete the cached outputs that the job used or made: they derive from its media.

    The entry first: no other job finds the output any more. One that uses it at this moment fails.
    """
    cached: dict[str, int] = {}
    for stage in STAGES:
        try:
            output = markers.read_completion(connection.documents, job.tenant, job.job_id, stage)
        except ArtifactAltered:  # It is deleted with the others.
            continue
        for ref in output.artifacts.values() if output is not None else ():
            if keys.is_cached_of(job.tenant, ref.key):
                cached[ref.key] = ref.size
    connection.artifacts.delete(sorted({entry for key in cached if (entry := keys.cache_entry_of(key)) is not None}))
    connection.artifacts.delete(cached)
    for size in cached.values():
        _count(deleted, "cache", size)


def _delete_bodies(connection: Connection, bodies: Iterable[str], deleted: Counts) -> None:
    """Delete the values of dead letters; one that is gone, as after an interrupted purge, is not counted."""
    for body in bodies:
        sizes = [entry.size for entry in connection.artifacts.list_prefix(body) if entry.key == body]
        connection.artifacts.delete([body])
        for size in sizes:
            _count(deleted, "dead letters", size)


def _delete_input(connection: Connection, ref: InputRef, tenant: str, deleted: Counts, kept: Counts) -> None:
    bucket = connection.storage_settings.input_buckets.get(ref.bucket)
    if bucket is None or not ref.key.startswith(f"{tenant}/"):
        _count(kept, "other inputs", ref.size or 0)
        return
    with store_errors("deleting an input"):
        try:
            head = connection.s3.head_object(Bucket=bucket, Key=ref.key)
        except ClientError as e:
            if is_missing(e):
                return
            raise
        if UPLOADED_BY.items() <= head["Metadata"].items():
            connection.s3.delete_object(Bucket=bucket, Key=ref.key)
            _count(deleted, "inputs", head["ContentLength"])
        else:
            _count(kept, "other inputs", head["ContentLength"])


def _delete_uploads(connection: Connection, job: JobKey, deleted: Counts) -> None:
    """Delete what clients uploaded under the job's id, for requests that were refused or are not known any more."""
    buckets = connection.storage_settings.input_buckets
    for bucket in dict.fromkeys(buckets.values()):
        try:
            with store_errors("listing inputs"):
                pages = connection.s3.get_paginator("list_objects_v2").paginate(
                    Bucket=bucket, Prefix=f"{job.tenant}/{job.job_id}/"
                )
                uploads = [(entry["Key"], entry["Size"]) for page in pages for entry in page.get("Contents", ())]
        except ArtifactRefused:
            if bucket == buckets.get(INPUT_ALIAS):
                raise
            continue  # A bucket that this client may not list is one that it does not upload to.
        for key, size in uploads:
            with store_errors("deleting an input"):
                try:
                    head = connection.s3.head_object(Bucket=bucket, Key=key)
                except ClientError as e:
                    if is_missing(e):
                        continue
                    raise
                if UPLOADED_BY.items() <= head["Metadata"].items():
                    connection.s3.delete_object(Bucket=bucket, Key=key)
                    _count(deleted, "inputs", size)


def _count(counts: Counts, name: str, size: int) -> None:
    counts.setdefault(name, Count()).add(size)
