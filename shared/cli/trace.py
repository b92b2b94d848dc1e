"""``lipstage trace``: the traces of a job as trees with waterfalls, or as one page; replays name what they replay."""

import dataclasses
import time
from collections.abc import Iterator, Sequence

from shared.cli import console, trace_source
from shared.cli.connection import connect
from shared.cli.errors import CliError
from shared.cli.output_file import OutputFile
from shared.cli.trace_lines import length, lines
from shared.client import ClientError, Deployment, JobKey, JobState
from shared.client.traces import Traces, TraceSource, job_traces
from shared.local.settings import LocalSettings
from shared.telemetry.spans import StoredSpan
from shared.telemetry.trace_tree import bounds

POLL_S = 0.2


def trace(job: JobKey, as_json: bool, page: OutputFile | None = None) -> None:
    """Print the traces of a job, or write them as a page. Raises CliError when none is known, ClientError."""
    if page is not None:
        page.check()
    source = trace_source.source()
    traces = job_traces(source, job)
    if not traces:
        state = _state(job)
        # Tempo finds a span by its attributes only after a while, and a trace by its id at once.
        traces = job_traces(source, job, state.trace_id) if state is not None and state.trace_id else {}
        if not traces:
            raise _absent(job, state)
    if page is not None:
        _write(page, job, traces)
    elif as_json:
        console.emit_json({trace: [dataclasses.asdict(s) for s in spans] for trace, spans in traces.items()})
    else:
        show(traces)


def _state(job: JobKey) -> JobState | None:
    try:
        return connect().job(job)
    except (ClientError, CliError):
        return None


def _absent(job: JobKey, state: JobState | None) -> CliError:
    """Why no span of the job is known: the caller may have excluded its trace."""
    if state is None:
        hint = "`lipstage jobs` lists the newest jobs; spans arrive up to a second after the work"
    elif not state.sampled:
        return CliError(
            f"the trace {state.trace_id} of the job {job.job_id} was not sampled by the caller",
            "no span of it is exported: send a traceparent that ends in 01 (sampled), or set "
            "LIPSTAGE_TRUST_TRACE_CONTEXT=false for traces that do not depend on the caller",
        )
    else:
        hint = f"the job is {state.status}; spans arrive up to a second after the work, and the oldest are deleted"
    return CliError(f"no trace of the job {job.job_id} of the tenant {job.tenant} is known", hint)


def _write(page: OutputFile, job: JobKey, traces: Traces) -> None:
    from shared.cli import trace_page

    with page.writing() as temporary:
        temporary.write_text(trace_page.page(job, traces), encoding="utf-8", errors="replace")
    if not page.is_stdout:
        console.say(page.name)


def show(traces: Traces) -> None:
    """Print each trace as a tree."""
    for trace_id, spans in traces.items():
        console.say(headline(trace_id, traces))
        for line in lines(spans, console.width()):
            console.say(*line)


def headline(trace_id: str, traces: Traces) -> str:
    """What a trace is: its id, spans and length, and the trace that it replays."""
    spans = traces[trace_id]
    begin, end = bounds(spans)
    about = f"trace {trace_id}, {len(spans)} spans, {length(max(end - begin, 0) / 1e6)}"
    return about + "".join(relations(trace_id, traces))


def relations(trace_id: str, traces: Traces) -> Iterator[str]:
    """How the trace relates to others, one text each."""
    spans = traces[trace_id]
    # Spans of earlier versions do not say what a link is.
    replayed = [link["trace_id"] for span in spans for link in span.links
                if link["trace_id"] != trace_id and link.get("kind") in ("replay_of", "", None)]  # fmt: skip
    for other in dict.fromkeys(replayed):
        kept = "" if other in traces else ", which is not kept"
        yield f", replay of the trace {other}{kept}"


def fetch(job: JobKey, place: Deployment) -> Traces:
    """The traces of a job of a deployment; empty while there is none. Raises CliError, ClientError."""
    settings = LocalSettings()
    return job_traces(_source(settings, place), job)


def _source(settings: LocalSettings, place: Deployment) -> TraceSource:
    return trace_source.chosen(
        settings.tempo_url or place.tempo_url or "", place.otlp_endpoint or settings.otlp_endpoint
    )


def fetch_complete(job: JobKey, place: Deployment, timeout_s: float) -> Traces:
    """As ``fetch``, once every trace is complete, or after ``timeout_s`` seconds as it then is.

    Services export their spans in batches, up to a second after the job's end.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        traces = fetch(job, place)
        if (traces and all(is_complete(spans) for spans in traces.values())) or time.monotonic() > deadline:
            return traces
        time.sleep(POLL_S)


def is_complete(spans: Sequence[StoredSpan]) -> bool:
    """Whether a render's trace has its summary span and the parent of every span."""
    ids = {span.span_id for span in spans}
    parents = all(not span.parent_id or span.parent_id in ids for span in spans)
    return parents and any(span.name == "render" for span in spans)
