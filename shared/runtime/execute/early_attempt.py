"""An attempt that starts before its task is there, on the chunks that the stage before has stored so far.

It publishes nothing, claims nothing and counts as no attempt. When the task arrives and names the very attempt whose
chunks it works on, it becomes the task's attempt: ``finish`` waits for it. In any other case it is stopped, and the
task is processed as if it had never been.
"""

import threading
import time
from collections.abc import Callable
from contextvars import copy_context

import structlog

from shared.messages.task import RenderTask, StageOutput
from shared.runtime import fault_injection
from shared.runtime.consume.assignment import Record
from shared.runtime.disposition import JobContext
from shared.runtime.execute.attempt import Attempt
from shared.runtime.execute.chunk_sequence import ChunksDiffer, ChunkSequence
from shared.runtime.execute.deferred_telemetry import DeferredTelemetry
from shared.runtime.execute.scratch import DiskSpace
from shared.runtime.execute.worker_telemetry import WorkerTelemetry
from shared.runtime.failures import Abandoned
from shared.runtime.retry_policy import best_effort
from shared.runtime.waiting import TaskWaits, current_task, never, set_current_job, task_waits
from shared.storage import markers
from shared.storage.manifest import Chunk
from shared.telemetry import metrics

log = structlog.get_logger()


class EarlyAttempt:
    """Runs an attempt in a thread of its own, with the worker of a slot that has no task.

    ``attempt`` must have ``telemetry`` and ``unfinished`` for this: see `early_starts`.
    """

    def __init__(
        self,
        attempt: Attempt,
        source: str,
        made_by: str,
        sequence: ChunkSequence,
        disk: DiskSpace,
        telemetry: DeferredTelemetry,
    ) -> None:
        """``source`` names the sequence, ``<stage>/<role>``; ``made_by`` is the id of the attempt that makes it."""
        self.attempt = attempt
        self.made_by = made_by
        self._source = source
        self._sequence = sequence
        self._disk = disk
        self._telemetry = telemetry
        self._waits = TaskWaits(attempt.spec.name, stopping=lambda: self._stopped)
        self._progress: Callable[[int, int], None] = lambda *_: None
        self._must_stop: Callable[[], bool] = never
        self._stopped = False
        self._taken = False
        self._deciding = threading.Lock()
        """Held while it is stopped or taken: one of both."""
        self._output: StageOutput | None = None
        self._error: BaseException | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"early-{attempt.id[:8]}", daemon=True)
        attempt.progress = lambda done, total: self._progress(done, total)
        attempt.cancelled = lambda: self._stopped or self._must_stop()

    @property
    def ended(self) -> bool:
        """Whether the slot's worker is free again."""
        return self._ended.is_set()

    @property
    def taken(self) -> bool:
        """Whether a task has made it its own attempt."""
        return self._taken

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def is_of(self, record: Record) -> bool:
        """Whether the record may be the task's."""
        return record.key == self.attempt.task.job_id.encode()

    def stored(self, index: int, chunk: Chunk) -> None:
        """The stage before has stored another chunk. Any thread."""
        self._sequence.add(index, chunk)

    def withdraw(self, reason: str) -> None:
        """Stop, unless a task has taken it. Does not wait. Any thread."""
        with self._deciding:
            if self._taken or self._stopped:
                return
            self._stopped = True
        metrics.EARLY_STARTS.labels(self.attempt.spec.name, reason).inc()
        log.info("early_start_stopped", reason=reason, job=self.attempt.task.job_id)

    def stop(self, reason: str) -> None:
        """Stop, unless it has ended; on return the worker is free. The slot's thread."""
        self.withdraw(reason)
        self._stopped = True
        self._ended.wait()

    def take(self, task: RenderTask, telemetry: WorkerTelemetry, must_stop: Callable[[], bool]) -> bool:
        """Make this the attempt of ``task``, which is being processed in the calling thread; False when it can't be:
        it works on the chunks of an attempt that lost, or it has failed. It is stopped then.

        ``telemetry`` has the span of the task; ``must_stop`` returns whether the work must stop. Raises what reading
        the manifest raises.
        """
        stage = self._source.partition("/")[0]
        output, before = task.outputs.get(stage), {n: o for n, o in task.outputs.items() if n != stage}
        same = (task.request, before) == (self.attempt.task.request, self.attempt.task.outputs)
        if output is None or output.attempt != self.made_by or not same:
            self.stop("superseded")
            return False
        if self._taken or self._stopped or self._error is not None:
            self.stop("failed")
            return False
        try:
            self._sequence.complete(self.attempt.manifest(self._source, task), task)
        except ChunksDiffer as e:
            log.warning("early_start_differs", reason=str(e))
            self.stop("superseded")
            return False
        with self._deciding:
            self._taken = not self._stopped
        if not self._taken:
            self.stop("failed")  # Withdrawn meanwhile: the worker is free once it has ended.
            return False
        self.attempt.task, self._must_stop = task, must_stop
        self._waits.follow(current_task(), copy_context())
        self._telemetry.release(telemetry)
        metrics.EARLY_STARTS.labels(self.attempt.spec.name, "used").inc()
        return True

    def finish(self, progress: Callable[[int, int], None]) -> StageOutput:
        """Wait for the end of a taken attempt; returns its output. Raises as `Attempt.run` does."""
        context = copy_context()
        self._progress = lambda done, total: context.copy().run(progress, done, total)
        with current_task().working(self.attempt.spec.deadline_s):
            try:
                for point in ("read", "work"):
                    fault_injection.reached(point)
            except BaseException:
                self._stopped = True
                raise
            finally:
                self._ended.wait()  # The worker is stopped by ``must_stop``, and killed at its deadline.
            if self._output is None:
                raise self._error or Abandoned("the attempt has no output")
            fault_injection.reached("put")
            return self._output

    def _run(self) -> None:
        with task_waits(self._waits):
            started = time.monotonic()
            try:
                set_current_job(JobContext.of(self.attempt.task))
                self._disk.reserve(self.attempt.spec.needs_bytes(self.attempt.task))
                self._check_open()
                self.attempt.worker.prepare(self.attempt.task.request.tenant)
                self._output = self.attempt.run()
            except BaseException as e:  # noqa: BLE001 - the task's thread raises it
                self._error = e
                if not self._taken and not self._stopped:
                    log.warning("early_start_failed", error=type(e).__name__, text=str(e))
                self.withdraw("failed")
            finally:
                self._disk.release()
                self._ended.set()
            log.debug("early_start_ended", seconds=round(time.monotonic() - started, 3), taken=self._taken)
            if self._error is not None and not self._taken:
                with best_effort():
                    self.attempt.discard()

    def _check_open(self) -> None:
        """Raises Abandoned when the stage is complete: the notices were read late."""
        task, stage = self.attempt.task, self.attempt.spec.name
        if markers.read_completion(self.attempt.store.documents, task.request.tenant, task.job_id, stage) is not None:
            raise Abandoned("the stage is complete")
