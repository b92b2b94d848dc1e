"""Publishes a video while it is encoded: segments and an HLS playlist in the user's output bucket.

Segments lie under the attempt that made them, so that attempts never overwrite each other's; the playlist names the
segments of one attempt. An attempt that fails or loses deletes its segments, and the playlist if it is still its own.
The playlist with an end is an artifact of the attempt: delivering the winner's files publishes it.
"""

import math
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context

import structlog

from shared.messages.refs import ArtifactRef
from shared.messages.task import RenderTask
from shared.runtime.execute.scratch import WorkFolder
from shared.runtime.failures import Abandoned, JobCancelled, WorkerDied
from shared.slot import records
from shared.storage import keys, markers
from shared.storage.errors import ArtifactAltered, ArtifactMissing, StorageError
from shared.storage.protocols import Storage

ROLE = "preview"
MAX_PLAYLIST_BYTES = 4 << 20

log = structlog.get_logger()


class Preview:
    """The preview of one attempt. No failure of it concerns the attempt: the video is delivered without."""

    def __init__(self, store: Storage, task: RenderTask, stage: str, attempt: str, folder: WorkFolder) -> None:
        """``task`` names an output with a preview."""
        output = task.request.output
        assert output is not None
        self._store = store
        self._task = task
        self._stage = stage
        self._folder = folder
        self._bucket = output.bucket
        self._prefix = keys.preview_prefix(task.request.tenant, output.prefix, task.job_id) + f"{attempt}/"
        self._playlist_key = keys.output(task.request.tenant, output.prefix, task.job_id, keys.PLAYLIST)
        self._relative = f"{keys.PREVIEW}/{attempt}/"
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="preview")
        self._uploads: list[Future[None]] = []
        self._stored: list[str] = []
        self._lengths: list[float] = []
        self._published: ArtifactRef | None = None
        self._failed = False

    def add(self, record: records.Segment) -> None:
        """Publish a segment in a background thread. Raises WorkerDied where the worker names no file of its folder."""
        index = len(self._uploads)
        if (index == 0) != (record.seconds == 0):
            raise WorkerDied("the worker did not begin its preview with one initialisation segment")
        self._uploads.append(self._pool.submit(copy_context().run, self._publish, record, index))

    def finish(self) -> str | None:
        """Wait until everything is published; returns the playlist with its end, None when the preview failed."""
        self._pool.shutdown(wait=True)
        return None if self._failed or not self._lengths else self._playlist(ended=True)

    def close(self) -> None:
        """Publish no more; wait for the segment that is being published."""
        self._failed = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def discard(self) -> None:
        """Delete what this attempt has published."""
        self.close()
        artifacts = self._store.artifacts
        try:
            if self._published is not None:
                try:
                    artifacts.get_bytes(self._published, MAX_PLAYLIST_BYTES)
                    artifacts.delete([self._playlist_key], bucket=self._bucket)
                except (ArtifactMissing, ArtifactAltered):
                    log.debug("preview_replaced")  # Another attempt's playlist is there.
            artifacts.delete(self._stored, bucket=self._bucket)
        except StorageError as e:
            log.warning("preview_not_deleted", error=type(e).__name__)

    def _publish(self, record: records.Segment, index: int) -> None:
        """Store the segment, then the playlist that names it."""
        try:
            with self._folder.opened(record.path) as path:
                if not self._failed:
                    key = self._prefix + (f"{index - 1:05d}.mp4" if index else "init.mp4")
                    self._stored.append(key)
                    self._store.artifacts.put(path, key, bucket=self._bucket)
            self._folder.remove(record.path)
            if self._failed or not index:
                return
            self._lengths.append(record.seconds)
            tenant, job = self._task.request.tenant, self._task.job_id
            if markers.read_completion(self._store.documents, tenant, job, self._stage) is not None:
                self._failed = True  # Another attempt has won: the playlist is its own.
                return
            text = self._playlist(ended=False).encode()
            self._published = self._store.artifacts.put_bytes(text, self._playlist_key, bucket=self._bucket)
        except (StorageError, WorkerDied, Abandoned, JobCancelled, OSError, KeyError) as e:
            self._failed = True
            log.warning("preview_not_published", error=type(e).__name__, text=str(e))

    def _playlist(self, *, ended: bool) -> str:
        """The segments so far; a player reads it again until it has its end."""
        lines = [
            "#EXTM3U",
            "#EXT-X-VERSION:7",
            f"#EXT-X-TARGETDURATION:{math.ceil(max(self._lengths))}",
            "#EXT-X-PLAYLIST-TYPE:EVENT",
            "#EXT-X-INDEPENDENT-SEGMENTS",
            f'#EXT-X-MAP:URI="{self._relative}init.mp4"',
        ]
        for number, seconds in enumerate(self._lengths):
            lines += [f"#EXTINF:{seconds:.3f},", f"{self._relative}{number:05d}.mp4"]
        return "\n".join([*lines, *(["#EXT-X-ENDLIST"] if ended else [])]) + "\n"
