"""Downloads the results of a batch into a folder: several at a time, resumable, without overwriting other files."""

import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from shared.client import download
from shared.client.batches import BatchState
from shared.client.connection import Connection
from shared.client.errors import ArtifactUnavailable, InvalidRequest, TargetExists
from shared.client.job_state import JobState
from shared.messages.events import Done
from shared.messages.refs import ArtifactRef

PARALLEL = 4
MAX_SHOWN = 20
FILE_NAME = re.compile(r"[\w][\w .,+-]{0,63}")
"""A label that can be the name of a file, on every system."""


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """One file of a batch."""

    job: JobState
    path: Path
    was_present: bool = False
    """Whether the file was there already, with the right content."""
    error: ArtifactUnavailable | None = None
    """Why there is none."""


def fetch(
    connection: Connection,
    batch: BatchState,
    folder: Path,
    *,
    poster: bool = False,
    label: str | None = None,
    force: bool = False,
) -> Iterator[FetchedFile]:
    """Download the result of each done job; yields the files in the order of the manifest.

    A file is named after its job id, or after the job's value of ``label``. A file that is there with the right
    content is left alone; one with other content is overwritten with ``force`` only. Names are checked before the
    first download.

    Raises InvalidRequest for names that can't be used, TargetExists, TargetUnwritable, StoreUnreachable.
    """
    wanted = _wanted(batch, folder, poster, label)
    present = {path for _, ref, path in wanted if _has_content(path, ref)}
    taken = [] if force else [path for _, _, path in wanted if path.exists() and path not in present]
    if taken:
        names = ", ".join(path.name for path in taken[:MAX_SHOWN]) + (", ..." if len(taken) > MAX_SHOWN else "")
        raise TargetExists(f"files with other content exist in {folder}: {names}")
    _ = connection.artifacts  # Made here: only the store itself may be shared by threads.
    with ThreadPoolExecutor(PARALLEL) as pool:
        try:
            yield from pool.map(partial(_fetch, connection, present), wanted)
        finally:
            pool.shutdown(cancel_futures=True)


def _wanted(
    batch: BatchState, folder: Path, poster: bool, label: str | None
) -> list[tuple[JobState, ArtifactRef, Path]]:
    wanted: dict[Path, tuple[JobState, ArtifactRef, Path]] = {}
    for job in batch.ordered():
        done = job.terminal_event
        if not isinstance(done, Done) or job.purged_ms is not None:
            continue
        path = folder / f"{_name(job, label)}{'.jpg' if poster else '.mp4'}"
        if path in wanted:
            raise InvalidRequest(
                f"the jobs {wanted[path][0].job_id} and {job.job_id} would both be written to {path.name}"
            )
        wanted[path] = (job, done.poster if poster else done.video, path)
    return list(wanted.values())


def _name(job: JobState, label: str | None) -> str:
    if label is None:
        return job.job_id
    text = job.labels.get(label)
    if text is None:
        raise InvalidRequest(f"job {job.job_id} has no label {label}")
    if FILE_NAME.fullmatch(text) is None:
        raise InvalidRequest(f"the label {label} of job {job.job_id} can't be a file name: {text!r}")
    return text.strip()


def _has_content(path: Path, ref: ArtifactRef) -> bool:
    try:
        if not path.is_file() or path.stat().st_size != ref.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == ref.sha256
    except OSError:
        return False


def _fetch(connection: Connection, present: set[Path], wanted: tuple[JobState, ArtifactRef, Path]) -> FetchedFile:
    job, ref, path = wanted
    if path in present:
        return FetchedFile(job, path, was_present=True)
    try:
        download.download(connection, ref, path)
    except ArtifactUnavailable as e:
        return FetchedFile(job, path, error=e)
    return FetchedFile(job, path)
