"""The queue between the work and the collector: bounded, and every span that is lost in it is counted.

The SDK counts dropped spans only through a meter provider of OpenTelemetry, which no service has, and logs them once in
20 s. Its counter is replaced by one that counts in our metric.
"""

import threading

from opentelemetry.sdk.trace.export import BatchSpanProcessor

from shared.telemetry import metrics
from shared.telemetry.redaction import RedactingExporter


class _DroppedSpans:
    """The SDK's interface of a processor's own metrics (``ProcessorMetricsT``)."""

    def register_queue_size(self, _: object) -> None:
        """Not shown: the queue is empty, or spans are dropped."""

    def drop_items(self, count: int, _: str = "queue_full") -> None:
        """Spans that the full queue pushed out, or that ended after the shutdown."""
        metrics.SPANS.labels("dropped").inc(count)

    def finish_items(self, _: int) -> None:
        """Not counted here: the exporter knows the result."""


class SpanQueue(BatchSpanProcessor):
    """Exports spans in batches, in its own thread. A full queue drops the oldest span; ``on_end`` never waits."""

    def __init__(self, exporter: RedactingExporter, schedule_delay_millis: float | None = None) -> None:
        super().__init__(exporter, schedule_delay_millis=schedule_delay_millis)
        self._exporter = exporter
        self._batch_processor._metrics = _DroppedSpans()

    def shutdown_within(self, limit_s: float) -> None:
        """Export what is queued, for ``limit_s`` seconds at most; spans that are left then are counted as dropped, with
        the batch that the collector has not confirmed.

        The SDK's shutdown takes up to 30 s: a whole grace period.
        """
        thread = threading.Thread(target=self.shutdown, name="telemetry-shutdown", daemon=True)
        thread.start()
        thread.join(limit_s)
        if thread.is_alive():
            batches = self._batch_processor
            batches._shutdown_timeout_exceeded = True  # No further batch: it would be counted twice.
            metrics.SPANS.labels("dropped").inc(len(batches._queue) + self._exporter.take_in_flight())
