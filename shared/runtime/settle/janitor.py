"""Deletes frames that nobody will read and nobody deleted: of attempts that were killed, of sweeps that failed.

Frames of a long render are tens of GB. The stage that reads them sweeps at a job's end; this finds the rest.
"""

import random
import time
from datetime import UTC, datetime
from threading import Event

import structlog

from shared.messages.codes import Code
from shared.messages.events import Failed
from shared.storage import frames, markers
from shared.storage.errors import ArtifactRefused, StorageError
from shared.storage.frames import FramesEntry
from shared.storage.protocols import Storage

EVERY_S = 600.0
YOUNGEST_S = 900.0
"""A job that ended a moment ago is being swept by the stage that ended it."""

log = structlog.get_logger()


class Janitor:
    """One pass at a time over the index of frames; ``run`` is the body of a background thread.

    Several replicas may do this at once: deleting twice is no harm.
    """

    def __init__(self, store: Storage, every_s: float = EVERY_S, youngest_s: float = YOUNGEST_S) -> None:
        self._store = store
        self._every_s = every_s
        self._youngest_s = youngest_s

    def run(self, stop: Event) -> None:
        """A pass every ``every_s`` seconds, spread over replicas, until ``stop``.

        What fails is for the next pass: frames that stay cost space, a stage that ends costs renders.
        """
        while not stop.wait(self._every_s * random.uniform(0.5, 1.5)):
            try:
                self.sweep(stop)
            except Exception as e:  # noqa: BLE001 - see above
                log.warning("janitor_pass_failed", error=type(e).__name__, text=str(e))

    def sweep(self, stop: Event) -> int:
        """Delete what is left over; returns how many objects. Raises StorageError, with part of it done."""
        count, ended = 0, dict[tuple[str, str], bool]()
        oldest = datetime.fromtimestamp(time.time() - self._youngest_s, UTC)
        for entry in frames.entries(self._store.artifacts):
            if stop.is_set():
                break
            if entry.noted > oldest:
                continue
            job = (entry.tenant, entry.job)
            if job not in ended:
                ended[job] = self._nobody_reads(*job)
            if ended[job]:
                count += self._delete(entry)
        return count

    def _nobody_reads(self, tenant: str, job: str) -> bool:
        """Whether the job has ended, and not as a dead letter: the replay of one needs its frames."""
        try:
            end = markers.read_end(self._store.documents, tenant, job)
        except (StorageError, ValueError) as e:
            log.info("end_not_readable", job=job, error=type(e).__name__)
            return False
        return end is not None and not (isinstance(end, Failed) and end.code != Code.CANCELLED)

    def _delete(self, entry: FramesEntry) -> int:
        """An entry goes once a pass finds nothing under its prefix: until then its attempt may still be writing."""
        try:
            count = self._store.artifacts.delete_prefix(entry.chunks_prefix)
            if not count:
                self._store.artifacts.delete([entry.key])
        except (ArtifactRefused, ValueError):  # One job's prefix is closed to us, or it is no entry of ours.
            return 0
        if count:
            log.info("frames_swept", job=entry.job, tenant=entry.tenant, objects=count)
        return count
