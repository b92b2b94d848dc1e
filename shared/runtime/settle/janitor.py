"""Deletes unused frames that remained after killed attempts and failed cleanups, and what is left of erased jobs.

Frames of a long render are tens of GB. The stage that reads them deletes them when the job ends; the janitor finds the
rest.
"""

import random
import time
from datetime import UTC, datetime
from threading import Event

import structlog

from shared.messages.codes import Code
from shared.messages.events import Failed
from shared.runtime.settle import erased_sweep
from shared.storage import frames, markers
from shared.storage.errors import ArtifactRefused, StorageError
from shared.storage.frames import FramesEntry
from shared.storage.protocols import Storage

EVERY_S = 600.0
YOUNGEST_S = 900.0
"""Younger entries are skipped, seconds: the stage that has just ended a job is deleting its frames."""

log = structlog.get_logger()


class Janitor:
    """Makes passes over the index of frames; ``run`` is the body of a background thread.

    Several replicas may do this at once: deleting an object twice is harmless.
    """

    def __init__(self, store: Storage, every_s: float = EVERY_S, youngest_s: float = YOUNGEST_S) -> None:
        self._store = store
        self._every_s = every_s
        self._youngest_s = youngest_s

    def run(self, stop: Event) -> None:
        """Make a pass every ``every_s`` seconds, with jitter between replicas, until ``stop``.

        A failed pass is logged and repeated later: leftover frames cost space, a stopped stage costs renders.
        """
        while not stop.wait(self._every_s * random.uniform(0.5, 1.5)):
            try:
                self.sweep(stop)
                erased_sweep.sweep(self._store, stop)
            except Exception as e:  # noqa: BLE001 - see above
                log.warning("janitor_pass_failed", error=type(e).__name__, text=str(e))

    def sweep(self, stop: Event) -> int:
        """Delete leftover frames; returns the number of objects. Raises StorageError, with part of the work done."""
        count, ended = 0, dict[tuple[str, str], bool]()
        oldest = datetime.fromtimestamp(time.time() - self._youngest_s, UTC)
        for entry in frames.entries(self._store.artifacts):
            if stop.is_set():
                break
            if entry.noted > oldest:
                continue
            job = (entry.tenant, entry.job)
            if job not in ended:
                ended[job] = self._unused(*job)
            if ended[job]:
                count += self._delete(entry)
        return count

    def _unused(self, tenant: str, job: str) -> bool:
        """Whether the job has ended without a dead letter, whose replay would need the frames."""
        try:
            end = markers.read_end(self._store.documents, tenant, job)
        except (StorageError, ValueError) as e:
            log.info("end_not_readable", job=job, error=type(e).__name__)
            return False
        return end is not None and not (isinstance(end, Failed) and end.code != Code.CANCELLED)

    def _delete(self, entry: FramesEntry) -> int:
        """Delete the frames of an entry, and the entry once its prefix is empty: its attempt may still be writing."""
        try:
            count = self._store.artifacts.delete_prefix(entry.chunks_prefix)
            if not count:
                self._store.artifacts.delete([entry.key])
        except (ArtifactRefused, ValueError):  # The object store denies one job's prefix, or the key is no entry.
            return 0
        if count:
            log.info("frames_swept", job=entry.job, tenant=entry.tenant, objects=count)
        return count
