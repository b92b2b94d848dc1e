"""Attempts at one task until one of them survives: which failures count as one, and what comes between two."""

import structlog
from opentelemetry.trace import Span

from shared.messages.codes import Rejected
from shared.messages.task import Product, RenderTask
from shared.runtime.announcer import Announcer, Subject
from shared.runtime.attempt import Attempt, HandlerBroken
from shared.runtime.cancellations import Cancellations
from shared.runtime.disk_space import DiskFull, DiskSpace, Room
from shared.runtime.record import Lease
from shared.runtime.reports import Reports
from shared.runtime.retry_policy import RetryPolicy
from shared.runtime.settings import RuntimeSettings
from shared.runtime.slot_process import ChildDied, HandlerUnavailable, SlotProcess
from shared.runtime.store import Store
from shared.runtime.waiting import JobCancelled, cancellable, never
from shared.slot.spec import StageSpec
from shared.storage.errors import ArtifactRefused
from shared.telemetry import metrics
from shared.telemetry.tracing import Tracing

log = structlog.get_logger()


class LoadFailed(Exception):
    """A child that a full disk ended could not be started again: this machine's fault, not the record's."""


class Attempts:
    """Makes the attempts of one stage; shared by its slots."""

    def __init__(
        self,
        spec: StageSpec,
        settings: RuntimeSettings,
        store: Store,
        retry: RetryPolicy,
        tracing: Tracing,
        cancellations: Cancellations,
        disk: DiskSpace,
    ) -> None:
        self._spec = spec
        self._settings = settings
        self._store = store
        self._retry = retry
        self._tracing = tracing
        self._cancellations = cancellations
        self._disk = disk

    def run(
        self, task: RenderTask, lease: Lease, child: SlotProcess, announcer: Announcer, span: Span
    ) -> tuple[Attempt, Product]:
        """Try until the child survives, at most ``tries`` times. Raises what the last attempt raised, LoadFailed.

        An attempt that found the disk full does not count: the next one waits until there is room.
        """
        subject = Subject.of(task)
        room = Room(self._disk, self._spec, task)
        while True:
            room.wait()
            try:
                if child.pid is None and not self._restarted(child):
                    raise LoadFailed("the handler can't be loaded again")
                span.set_attribute("attempt", announcer.attempt)
                announcer.started(subject)
                attempt = self._attempt(task, lease, child, announcer)
                try:
                    return attempt, attempt.run()
                except ChildDied as e:
                    log.warning("child_died", attempt=announcer.attempt, reason=str(e))
                    self.discard(attempt)
                    while lease.held and announcer.attempt < self._settings.tries:
                        announcer.attempt += 1
                        if self._restarted(child):
                            break
                    else:
                        raise
                except DiskFull as e:
                    self.discard(attempt)
                    room.failed(e)
                except (Rejected, JobCancelled, HandlerBroken, ArtifactRefused):
                    self.discard(attempt)
                    raise
            finally:
                room.leave()

    def discard(self, attempt: Attempt) -> None:
        """Delete what an attempt stored that lost, or failed."""
        with cancellable(never):  # A cancelled job leaves nothing behind either.
            attempt.discard()

    def _attempt(self, task: RenderTask, lease: Lease, child: SlotProcess, announcer: Announcer) -> Attempt:
        subject = Subject.of(task)
        return Attempt(
            task=task,
            spec=self._spec,
            store=self._store,
            settings=self._settings,
            retry=self._retry,
            child=child,
            cancelled=lambda: not lease.held or self._cancellations.has(task.request.tenant, task.job_id),
            progress=lambda done, total: announcer.progress(subject, done, total),
            reports=Reports(self._spec.name, self._tracing.tracer),
            scratch=self._disk.folder,
        )

    def _restarted(self, child: SlotProcess) -> bool:
        """Whether the handler is loaded again. A start that fails counts as an attempt: what the record did to the
        first child may have broken the device for the next, and here as at every other replica it would come again.
        A machine that is at fault is seen when the slot starts the child for the next record, which ends the service.
        """
        metrics.CHILD_STARTS.labels(self._spec.name).inc()
        try:
            child.start()
        except (ChildDied, HandlerUnavailable) as e:
            log.warning("handler_not_loaded_again", reason=str(e))
            return False
        return True
