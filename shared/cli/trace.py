"""``lipstage trace``: a job's spans as a tree, with start, length and service; errors stand out."""

import dataclasses
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

from shared.cli import console
from shared.cli.connection import connect, deployment
from shared.cli.console import Part, seconds, styled
from shared.cli.errors import CliError
from shared.client import ClientError, Deployment, JobKey
from shared.local.settings import LocalSettings
from shared.telemetry.spans import StoredSpan
from shared.telemetry.trace_tree import Node, tree

ANSWER_S = 5.0
POLL_S = 0.2
NAME_WIDTH = 44
WIDE_TIMES, NARROW_TIMES, SERVICE = 22, 17, 8
"""Widths of start and length, and of the service behind the name."""
WIDE = ("├─ ", "└─ ", "│  ", "   ")
NARROW = ("├", "└", "│", " ")
"""Branches of the tree: to a child, to the last child, past further children, below the last child."""
SHOWN = ("cached", "attempt", "artifact.role", "frames", "audio.drift_ms", "render.quality", "error.type")
"""Attributes worth a place on the line; an attempt only from the second on."""
Traces = dict[str, list[StoredSpan]]


def trace(job: JobKey, as_json: bool) -> None:
    """Print the traces of a job. Raises CliError when none is known."""
    traces = fetch(job, deployment())
    if not traces:
        raise _absent(job)
    if as_json:
        console.emit_json({trace: [dataclasses.asdict(s) for s in spans] for trace, spans in traces.items()})
    else:
        show(traces)


def _absent(job: JobKey) -> CliError:
    """Why no span of the job is known: the caller may have excluded its trace."""
    try:
        state = connect().job(job)
    except ClientError:
        hint = "`lipstage jobs` lists the newest jobs; spans arrive up to a second after the work"
    else:
        if not state.sampled:
            return CliError(
                f"the trace {state.trace_id} of the job {job.job_id} was not sampled by the caller",
                "no span of it is exported: send a traceparent that ends in 01 (sampled), or set "
                "LIPSTAGE_TRUST_TRACE_CONTEXT=false for traces that do not depend on the caller",
            )
        hint = f"the job is {state.status}; spans arrive up to a second after the work, and the oldest are deleted"
    return CliError(f"no trace of the job {job.job_id} of the tenant {job.tenant} is known", hint)


def show(traces: Traces) -> None:
    """Print each trace as a tree."""
    for trace_id, spans in traces.items():
        console.say(f"trace {trace_id}, {len(spans)} spans")
        for line in lines(spans, console.width()):
            console.say(*line)


def fetch(job: JobKey, source: Deployment) -> Traces:
    """The traces with a span of the job, without spans of other jobs, oldest first; empty while there is none.

    Raises CliError when the deployment's collector is not the local stack's, or does not answer.
    """
    address = (source.otlp_endpoint or LocalSettings().otlp_endpoint).rstrip("/")
    if not address:
        raise CliError(
            "traces are not kept: OTEL_EXPORTER_OTLP_ENDPOINT is not set", "the local stack keeps them: `lipstage up`"
        )
    try:
        with urllib.request.urlopen(f"{address}/jobs/{job.job_id}?tenant={job.tenant}", timeout=ANSWER_S) as answer:
            body: dict[str, list[dict[str, Any]]] = json.load(answer)
            return {trace: [StoredSpan(**span) for span in spans] for trace, spans in body.items()}
    except (urllib.error.HTTPError, ValueError, TypeError, AttributeError):
        raise CliError(
            f"the collector at {address} does not answer for jobs", "look the job's trace id up in its own viewer"
        ) from None
    except OSError as e:
        raise CliError(f"the trace receiver at {address} does not answer: {e}") from None


def fetch_complete(job: JobKey, source: Deployment, timeout_s: float) -> Traces:
    """As ``fetch``, once every trace is complete, or after ``timeout_s`` seconds as it then is.

    Services export their spans in batches, up to a second after the job's end.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        traces = fetch(job, source)
        if (traces and all(is_complete(spans) for spans in traces.values())) or time.monotonic() > deadline:
            return traces
        time.sleep(POLL_S)


def is_complete(spans: Sequence[StoredSpan]) -> bool:
    """Whether a render's trace has its summary span and the parent of every span."""
    ids = {span.span_id for span in spans}
    parents = all(not span.parent_id or span.parent_id in ids for span in spans)
    return parents and any(span.name == "render" for span in spans)


def lines(spans: Sequence[StoredSpan], columns: int | None = None) -> Iterator[Sequence[Part]]:
    """The tree: seconds from the trace's start, length, branch and name, service, attributes.

    Each line is a sequence of pieces for ``console.say``. In a terminal of so many ``columns`` the branches are narrow
    where wide ones do not fit, and attributes that do not fit are a line of their own.
    """
    roots = list(tree(spans))
    layout = _Layout(columns, max((_label_width(root, 0) for root in roots), default=0))
    for root in roots:
        yield from layout.branch(root, "", "")


def _label_width(node: Node, depth: int) -> int:
    """Characters of the widest name below ``node`` with its branches."""
    below = (_label_width(child, depth + 1) for child in node.children)
    return max(depth * len(WIDE[0]) + len(node.span.name), *below, 0)


class _Layout:
    """How the columns of a tree are divided."""

    def __init__(self, columns: int | None, label_width: int) -> None:
        self.columns = columns
        wide = columns is None or WIDE_TIMES + max(label_width, NAME_WIDTH) + SERVICE <= columns
        self.branches = WIDE if wide else NARROW
        self.times = "{:8.3f}  {:>10}  " if wide else "{:7.3f} {:>8} "
        self.start = WIDE_TIMES if wide else NARROW_TIMES
        self.name = NAME_WIDTH if wide else max((columns or 0) - self.start - SERVICE, 1)

    def branch(self, node: Node, branch: str, below: str) -> Iterator[Sequence[Part]]:
        span = node.span
        times = self.times.format(node.offset_ms / 1000, _length(node.duration_ms))
        text = times + (branch + span.name).ljust(self.name)
        rest = [f"{span.service:<7}", *_attributes(span)]
        if self.columns is not None and len(" ".join([text, *rest])) > self.columns:
            rest, second = rest[:1], rest[1:]
        else:
            second = []
        shown = " " + " ".join(rest)
        if node.failed:
            yield (styled(f"{text}{shown.rstrip()}  ERROR {span.error}".rstrip(), red=True),)
        else:
            yield text, styled(shown.rstrip(), dim=True)
        if second:
            below_name = self.start + len(branch)
            last_fit = (self.columns or 0) - len(" ".join(second))
            yield (styled(" " * max(min(below_name, last_fit), 0) + " ".join(second), dim=True),)
        to_child, to_last, past, beneath = self.branches
        for number, child in enumerate(node.children, 1):
            last = number == len(node.children)
            yield from self.branch(child, below + (to_last if last else to_child), below + (beneath if last else past))


def _length(milliseconds: float) -> str:
    return seconds(milliseconds / 1000) if milliseconds >= 1000 else f"{milliseconds:.0f} ms"


def _attributes(span: StoredSpan) -> Iterator[str]:
    for name in SHOWN:
        value = span.attributes.get(name)
        if value is None or (name == "attempt" and value == 1) or value is False:
            continue
        yield str(value) if name == "artifact.role" else f"{name}={value}"
