"""Exports the ``render`` span: the whole render with every queried attribute, once for each terminal event."""

import structlog
from opentelemetry.context import Context, get_current
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, get_current_span

from shared.messages.events import Done, TerminalEvent
from shared.messages.outcome import outcome_of, summary_attributes
from shared.messages.task import RenderTask
from shared.runtime.settle.slow_renders import SlowRenders
from shared.telemetry.attributes import registered
from shared.telemetry.carriers import Carrier
from shared.telemetry.ids import derived_span_id, preset_span_id
from shared.telemetry.pseudonyms import pseudonym

log = structlog.get_logger()


class RenderSummary:
    """Exports the summaries of the jobs that one service ends. Thread-safe."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._slow = SlowRenders()

    def export(self, event: TerminalEvent, task: RenderTask | None, waited_ms: int = 0) -> None:
        """Export the span of a job that has ended with ``event``, in the span that ended it.

        The span's id is derived from the job: a redelivery exports the same span. ``task`` and ``waited_ms`` are those
        of ``summary_attributes``. Never raises: the job has ended, whatever its summary is missing.
        """
        try:
            self._export(event, task, waited_ms)
        except Exception as e:  # noqa: BLE001 - see above
            log.warning("render_not_summarised", error=type(e).__name__)

    def _export(self, event: TerminalEvent, task: RenderTask | None, waited_ms: int) -> None:
        if isinstance(event, Done) and (task is None or event.stage not in task.outputs):
            return  # The stage that made the video has exported the span; this record knows less.
        attributes = summary_attributes(event, task, waited_ms)
        if task is not None and task.request.owner:
            attributes["owner.hash"] = pseudonym(task.request.owner)
        if isinstance(event, Done) and not event.replays:
            resolution = f"{event.width}x{event.height}"
            attributes["render.slow"] = self._slow.is_slow(event.engine, resolution, event.total_s)
        of_replay = (str(event.replays),) if event.replays else ()
        submitted_ms = event.time_ms if task is None else min(task.submitted_ms, event.time_ms)
        with preset_span_id(derived_span_id(event.job_id, event.request_id, *of_replay)):
            span = self._tracer.start_span(
                "render",
                context=_parent(event, task),
                kind=SpanKind.INTERNAL,
                attributes=registered(attributes),
                # The clocks of broker and machine may differ; exporters drop spans of negative length.
                start_time=submitted_ms * 1_000_000,
            )
        if outcome_of(event) in ("failed", "expired"):
            span.set_status(Status(StatusCode.ERROR))
        span.end(event.time_ms * 1_000_000)


def _parent(event: TerminalEvent, task: RenderTask | None) -> Context:
    """The span of the sender; the current span where that is not known, and for a replay in another trace than its
    task, which has a trace of its own."""
    if task is None:
        return get_current()
    sender = Carrier(task.submit_traceparent, task.submit_tracestate).context()
    named, current = get_current_span(sender).get_span_context(), get_current_span().get_span_context()
    if not named.is_valid or (event.replays and named.trace_id != current.trace_id):
        return get_current()
    return sender
