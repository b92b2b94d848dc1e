"""Deletes what only an unfinished task needs: the checkpoints of the stage and, at the end of the job, its frames."""

import structlog

from shared.messages.task import RenderTask
from shared.runtime.retry_policy import best_effort
from shared.slot.spec import StageSpec
from shared.storage import frames, keys, previews
from shared.storage.errors import StorageError
from shared.storage.protocols import Storage

log = structlog.get_logger()


class Cleanup:
    """Cleans up after the tasks of one stage. The janitor or the bucket's lifecycle rules delete what remains."""

    def __init__(self, spec: StageSpec, store: Storage) -> None:
        self._spec = spec
        self._store = store

    def after(self, task: RenderTask, *, job_ended: bool, failed: bool = False) -> None:
        """Clean up after a settled task; ``job_ended``: the job has ended, and its frames are not read again;
        ``failed``: it has ended without a video, and the preview would stop in the middle.

        A failed job keeps its frames: the replay of its dead letter needs them.
        """
        tenant, job = task.request.tenant, task.job_id
        if self._spec.resumes:
            try:
                self._store.artifacts.delete_prefix(keys.checkpoint_prefix(tenant, job, self._spec.name))
            except StorageError as e:
                log.info("checkpoints_left_to_lifecycle", error=str(e))
        if failed:
            with best_effort():
                previews.delete(self._store.artifacts, task.request, task.job_id, keep=None)
        if job_ended:
            for stage in {source.partition("/")[0] for source in self._spec.streams.values()}:
                self._sweep(task, stage)

    def _sweep(self, task: RenderTask, stage: str) -> None:
        """Delete the chunks of every attempt. A task that still reads them belongs to a record that was delivered
        twice; it finds that the job has ended."""
        tenant, job = task.request.tenant, task.job_id
        try:
            self._store.artifacts.delete_prefix(keys.stage_prefix(tenant, job, stage))
            output = task.outputs.get(stage)
            if output is not None:
                # Other attempts may still be writing; the janitor deletes their entries.
                with best_effort():
                    frames.forget(self._store.artifacts, tenant, job, stage, output.attempt)
        except (StorageError, ValueError) as e:  # ValueError: the id of an attempt is not valid.
            log.warning("sweep_left_to_janitor", error=type(e).__name__)
