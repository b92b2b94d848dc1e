"""Deletes the objects of a job, and counts them by class."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from botocore.exceptions import ClientError

from shared.client.connection import Connection
from shared.client.job_key import JobKey
from shared.client.purged_dead_letters import PurgedDeadLetter
from shared.client.uploads import INPUT_ALIAS, UPLOADED_BY, is_posted
from shared.messages.events import Done, TerminalEvent
from shared.messages.pipeline import STAGES
from shared.messages.refs import InputRef
from shared.storage import cache_index, keys, markers
from shared.storage.cache_index import CachedBy
from shared.storage.erasing import Erased
from shared.storage.errors import (
    ArtifactAltered,
    ArtifactRefused,
    InputForbidden,
    OutputRefused,
    is_missing,
    store_errors,
)
from shared.storage.markers import RequestRecord
from shared.storage.settings import ARTIFACTS

DOCUMENTS = 2
"""Documents of a purged job: its request and its terminal event."""
RESULTS = {"video.mp4": "video", "poster.jpg": "poster"}
OLD_VERSIONS = "old versions"
OTHER_INPUTS = "other inputs"
OUTPUT_BUCKET = "output bucket"


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


@dataclass(slots=True)
class Deletion:
    """Deletes objects, and counts them by class. Every method raises StoreUnavailable, ArtifactRefused."""

    connection: Connection
    deleted: Counts = field(default_factory=dict)
    kept: Counts = field(default_factory=dict)
    _seen: set[tuple[str, str]] = field(default_factory=set)
    """Inputs that were looked at, by bucket and key."""

    def job(
        self,
        job: JobKey,
        record: RequestRecord,
        terminal: TerminalEvent,
        dead_letters: Iterable[PurgedDeadLetter],
        *,
        may_be_written: bool,
    ) -> None:
        """Delete the inputs and artifacts of a job, the cached outputs that it made or used, its files in an output
        bucket, and the values of its dead letters. The documents of the request and of the terminal event stay.

        ``may_be_written``: an attempt of the job may still run. Then the index goes on to name its cached outputs.
        """
        documents = {keys.request(*job), keys.end(*job)}
        for stage, digest in sorted(self._cached(job)):
            self.cached(job.tenant, stage, digest)
        for body in [one.body for one in dead_letters if one.body is not None]:
            self._count("dead letters", self.connection.artifacts.erase(body, wanted=body.__eq__))
        self._outputs(job, record, terminal)
        for ref in record.inputs:
            self._input(ref, job.tenant)
        self._uploads(job)
        # First: the janitor need not look for frames that are gone.
        self.connection.artifacts.erase(keys.frames_prefix(*job))
        prefix = keys.job_prefix(*job)
        erased = self.connection.artifacts.erase(prefix, wanted=lambda key: key not in documents)
        for key, size in erased.objects.items():
            _add(self.deleted, _class_of(key.removeprefix(prefix)), size)
        self._count_versions(erased.versions)
        self.index(cache_index.of_job(self.connection.artifacts, *job), may_be_written=may_be_written)

    def old_documents(self, job: JobKey) -> None:
        """Delete what the documents of a purged job were before, where the bucket keeps old versions."""
        bucket = self.connection.storage_settings.bucket
        old = self.connection.artifacts.eraser.erase_old_versions(bucket, keys.job_prefix(*job))
        self._count_versions(old)

    def cached(self, tenant: str, stage: str, digest: str) -> None:
        """Delete a cached output. The entry first: no other job finds it any more. One that uses it at this moment
        fails."""
        entry = keys.cache_entry(tenant, stage, digest)
        self._count_versions(self.connection.artifacts.erase(entry, wanted=entry.__eq__).versions)
        self._count("cache", self.connection.artifacts.erase(keys.cache_folder(tenant, stage, digest)))

    def quotas(self, tenant: str) -> None:
        """Delete what a tenant has used of its quotas."""
        self._count("quotas", self.connection.artifacts.erase(keys.quotas_prefix(tenant)))

    def webhooks(self, tenant: str) -> None:
        """Delete the endpoints of a tenant: it is told of nothing any more."""
        self._count("webhooks", self.connection.artifacts.erase(keys.webhooks_prefix(tenant)))

    def index(self, entries: Collection[CachedBy], *, may_be_written: bool) -> None:
        """Delete entries of the index of cached outputs, or only the digests in them."""
        for entry in entries:
            if may_be_written:
                cache_index.note(
                    self.connection.documents, entry.tenant, entry.job, entry.stage, entry.digest, entry.attempt, {}
                )
                bucket = self.connection.storage_settings.bucket
                self._count_versions(self.connection.artifacts.eraser.erase_old_versions(bucket, entry.key))
            else:
                self._count_versions(self.connection.artifacts.erase(entry.key, wanted=entry.key.__eq__).versions)

    def upload(self, bucket: str, key: str) -> bool:
        """Delete an object of an input bucket if this library uploaded it; False where it is another client's."""
        if (bucket, key) in self._seen:
            return True
        self._seen.add((bucket, key))
        with store_errors("deleting an input"):
            try:
                head = self.connection.s3.head_object(Bucket=bucket, Key=key)
            except ClientError as e:
                if is_missing(e):
                    return True
                raise
        is_own = is_posted(key) or UPLOADED_BY.items() <= head["Metadata"].items()
        if is_own:
            self._count("inputs", self.connection.artifacts.eraser.erase_key(bucket, key))
        else:
            _add(self.kept, OTHER_INPUTS, head["ContentLength"])
        return is_own

    def _cached(self, job: JobKey) -> set[tuple[str, str]]:
        """Stage and digest of the cached outputs that the job made, and of those that its markers name."""
        found = {(one.stage, one.digest) for one in cache_index.of_job(self.connection.artifacts, *job)}
        for stage in STAGES:
            try:
                output = markers.read_completion(self.connection.documents, *job, stage)
            except ArtifactAltered:  # It is deleted with the others.
                continue
            for ref in output.artifacts.values() if output is not None else ():
                if keys.is_cached_of(job.tenant, ref.key):
                    found.add((ref.key.split("/")[2], ref.key.split("/")[3]))
        return found

    def _outputs(self, job: JobKey, record: RequestRecord, terminal: TerminalEvent) -> None:
        """Delete the job's folder in an output bucket: video, poster, and what was published of a preview."""
        refs = [terminal.video, terminal.poster] if isinstance(terminal, Done) else []
        places = {(ref.bucket, ref.key.rpartition("/")[0] + "/"): 0 for ref in refs if ref.bucket != ARTIFACTS}
        for ref in refs:
            if ref.bucket != ARTIFACTS:
                places[ref.bucket, ref.key.rpartition("/")[0] + "/"] += ref.size
        if record.output is not None:
            try:
                folder = keys.output_folder(job.tenant, record.output.prefix, job.job_id)
                places.setdefault((record.output.bucket, folder), 0)
            except InputForbidden:  # The request was rejected for it.
                pass
        for (alias, folder), size in places.items():
            if not (folder.startswith(f"{job.tenant}/") and folder.endswith(f"/{job.job_id}/")):
                _add(self.kept, OUTPUT_BUCKET, size)
                continue
            try:
                self._count(OUTPUT_BUCKET, self.connection.artifacts.erase(folder, bucket=alias))
            except (OutputRefused, ArtifactRefused):
                if size:  # Else nothing is known to be there: the job had no video.
                    _add(self.kept, OUTPUT_BUCKET, size)

    def _input(self, ref: InputRef, tenant: str) -> None:
        bucket = self.connection.storage_settings.input_buckets.get(ref.bucket)
        if bucket is None or not ref.key.startswith(f"{tenant}/"):
            _add(self.kept, OTHER_INPUTS, ref.size or 0)
        else:
            self.upload(bucket, ref.key)

    def _uploads(self, job: JobKey) -> None:
        """Delete what clients uploaded under the job's id, for requests that were refused or are not known any more."""
        buckets = self.connection.storage_settings.input_buckets
        for bucket in dict.fromkeys(buckets.values()):
            try:
                uploads = [
                    key for key, _ in self.connection.artifacts.eraser.listed(bucket, f"{job.tenant}/{job.job_id}/")
                ]
            except ArtifactRefused:
                if bucket == buckets.get(INPUT_ALIAS):
                    raise
                continue  # A bucket that this client may not list is one that it does not upload to.
            for key in uploads:
                self.upload(bucket, key)

    def _count(self, name: str, erased: Erased) -> None:
        for size in erased.objects.values():
            _add(self.deleted, name, size)
        self._count_versions(erased.versions)

    def _count_versions(self, number: int) -> None:
        if number:
            self.deleted.setdefault(OLD_VERSIONS, Count()).objects += number


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


def _add(counts: Counts, name: str, size: int) -> None:
    counts.setdefault(name, Count()).add(size)
