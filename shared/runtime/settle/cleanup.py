"""Deletes what only an unfinished task needs: checkpoints of the stage, and, at a job's end, the frames it has read."""

import structlog

from shared.messages.task import RenderTask
from shared.runtime.retry_policy import best_effort
from shared.slot.spec import StageSpec
from shared.storage import frames, keys
from shared.storage.errors import StorageError
from shared.storage.protocols import Storage

log = structlog.get_logger()


class Cleanup:
    """Cleans up after the tasks of one stage; what fails here the janitor or the bucket's lifecycle finds."""

    def __init__(self, spec: StageSpec, store: Storage) -> None:
        self._spec = spec
        self._store = store

    def after(self, task: RenderTask, *, job_ended: bool) -> None:
        """The stage has settled the task; ``job_ended``: and nobody will read its frames again.

        A job that failed keeps its frames: the replay of its dead letter needs them.
        """
        tenant, job = task.request.tenant, task.job_id
        if self._spec.resumes:
            try:
                self._store.artifacts.delete_prefix(keys.checkpoint_prefix(tenant, job, self._spec.name))
            except StorageError as e:
                log.info("checkpoints_left_to_lifecycle", error=str(e))
        if job_ended:
            for stage in {source.partition("/")[0] for source in self._spec.streams.values()}:
                self._sweep(task, stage)

    def _sweep(self, task: RenderTask, stage: str) -> None:
        """Delete the chunks of every attempt. Whoever still reads them processes a record that was delivered twice, and
        finds that the job has ended."""
        tenant, job = task.request.tenant, task.job_id
        try:
            self._store.artifacts.delete_prefix(keys.stage_prefix(tenant, job, stage))
            output = task.outputs.get(stage)
            if output is not None:
                # Other attempts may still be writing; their entries are the janitor's.
                with best_effort():
                    frames.forget(self._store.artifacts, tenant, job, stage, output.attempt)
        except (StorageError, ValueError) as e:  # ValueError: an attempt's id that is none.
            log.warning("sweep_left_to_janitor", error=type(e).__name__)
