"""The telemetry of an attempt that started before its task was there: kept until the task's span exists.

An attempt that is not used leaves no spans, log lines and counts of work: its trace looks as if it had never started.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock

from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, Span
from opentelemetry.util.types import AttributeValue

from shared.messages.task import StageOutput
from shared.runtime.execute.worker_telemetry import WorkerTelemetry
from shared.slot import records
from shared.slot.spec import StageSpec


class _KeptSpan(NonRecordingSpan):
    """Keeps the attributes of a span that is exported later."""

    def __init__(self, attributes: Mapping[str, AttributeValue]) -> None:
        super().__init__(INVALID_SPAN_CONTEXT)
        self.kept: dict[str, AttributeValue] = dict(attributes)

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        self.kept.update(attributes)


class DeferredTelemetry(WorkerTelemetry):
    """Keeps what happens until ``release`` says whose it is, then passes it on at once. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: list[Callable[[WorkerTelemetry], None]] = []
        self._target: WorkerTelemetry | None = None

    def release(self, target: WorkerTelemetry) -> None:
        """Pass everything on to ``target``, which knows the span of the task."""
        with self._lock:
            self._target = target
            kept, self._kept = self._kept, []
        for pass_on in kept:
            pass_on(target)

    def _pass(self, call: Callable[[WorkerTelemetry], None]) -> None:
        with self._lock:
            if self._target is None:
                self._kept.append(call)
                return
        call(self._target)

    @contextmanager
    def span(self, name: str, attributes: dict[str, str]) -> Iterator[Span]:
        """A span of work in the parent process, exported with its own times."""
        span, since_ns = _KeptSpan(attributes), time.time_ns()
        error: BaseException | None = None
        try:
            yield span
        except BaseException as e:
            error = e
            raise
        finally:
            until_ns = time.time_ns()
            self._pass(lambda target: target.past_span(name, span.kept, since_ns, until_ns, error))

    def moved(self, direction: str, role: str, size: int, since_ns: int, until_ns: int | None = None) -> None:
        """As `WorkerTelemetry.moved`."""
        ended_ns = until_ns or time.time_ns()
        self._pass(lambda target: target.moved(direction, role, size, since_ns, ended_ns))

    def bytes(self, direction: str, size: int) -> None:
        """As `WorkerTelemetry.bytes`."""
        self._pass(lambda target: target.bytes(direction, size))

    def cache(self, *, hit: bool) -> None:
        """As `WorkerTelemetry.cache`."""
        self._pass(lambda target: target.cache(hit=hit))

    def cached(self, spec: StageSpec, output: StageOutput) -> None:
        """As `WorkerTelemetry.cached`."""
        self._pass(lambda target: target.cached(spec, output))

    def take(self, record: records.FromWorker) -> None:
        """As `WorkerTelemetry.take`."""
        self._pass(lambda target: target.take(record))
