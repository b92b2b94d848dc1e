"""The metrics of renders, set where the terminal event of a job was stored first, or, when a client stored it, where a
stage finds it; and the series that exist from the start of a service, because a query sees no increase in a series that
begins with 1."""

from shared.messages.codes import Code
from shared.messages.events import Done, TerminalEvent
from shared.messages.outcome import outcome_of
from shared.messages.pipeline import STAGES
from shared.runtime.disposition import JobContext
from shared.runtime.failure_classes import CLASSES
from shared.runtime.settings import RuntimeSettings
from shared.telemetry import metrics

MS = 1000
DRIFT_KINDS = ("container", "lip", "audio")
"""The values of the label ``kind``."""


def prepare(stage: str, settings: RuntimeSettings) -> None:
    """Allow the enabled engines as label values, and start what alerts watch at 0."""
    metrics.ENGINES.allow((*settings.engines, settings.engine))
    for outcome in metrics.RENDER_OUTCOMES:
        for engine in (*settings.engines, metrics.ENGINES.OTHER):
            metrics.RENDERS.labels(engine, outcome)
    metrics.TASKS.labels(stage, "done", "")
    for code in Code:
        metrics.DEAD_LETTERS.labels(stage, code)
    for failure_class in CLASSES:
        metrics.TASK_FAILURES.labels(stage, failure_class)
    if stage == STAGES[-1]:
        for engine in settings.engines:
            metrics.RENDER_QUALITY.labels(engine)
            for kind in DRIFT_KINDS:
                metrics.RENDER_DRIFT.labels(engine, kind)


def ended(event: TerminalEvent, job: JobContext | None = None) -> None:
    """Count the end of a render. Call it once for each terminal event that was stored first, in its task's span; of a
    client that cancelled the job, where its record is settled.

    ``job`` tells engine and submission of a render that is not done, where the record could be read.
    """
    total_s: float | None = None
    if isinstance(event, Done):
        engine, total_s = metrics.ENGINES.of(event.engine), event.total_s
        _finished(event, engine)
    else:
        render = job.render if job is not None else None
        engine = metrics.ENGINES.of(render.request.engine if render else None)
        if render is not None:
            total_s = max(0.0, (event.time_ms - render.submitted_ms) / MS)
    outcome = outcome_of(event)
    metrics.RENDERS.labels(engine, outcome).inc()
    if total_s is not None:
        metrics.RENDER_SECONDS.labels(engine, outcome).observe(total_s, metrics.exemplar())


def _finished(event: Done, engine: str) -> None:
    """Observe how the finished video is."""
    exemplar = metrics.exemplar()
    if event.duration_s > 0:
        factor = sum(event.seconds.values()) / event.duration_s
        metrics.RENDER_REAL_TIME.labels(engine).observe(factor, exemplar)
    for kind, drift_ms in zip(
        DRIFT_KINDS, (event.container_drift_ms, event.lip_offset_ms, event.audio_drift_ms), strict=True
    ):
        if drift_ms is not None:
            metrics.RENDER_DRIFT.labels(engine, kind).observe(abs(drift_ms) / MS, exemplar)
    if event.quality is not None:
        metrics.RENDER_QUALITY.labels(engine).observe(event.quality, exemplar)
