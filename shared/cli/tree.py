"""A trace as text: every span under its parent, with start, length and service; errors stand out."""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

from shared.cli.console import Part, seconds, styled
from shared.cli.errors import CliError
from shared.cli.events import Job
from shared.local.trace_store import StoredSpan
from shared.local.trace_tree import Node, tree

ANSWER_S = 5.0
POLL_S = 0.2
NAME_WIDTH = 44
SHOWN = ("cached", "attempt", "artifact.role", "frames", "audio.drift_ms", "render.quality", "error.type")
"""Attributes worth a place on the line; an attempt only from the second on."""
Traces = dict[str, list[StoredSpan]]


def receiver() -> str:
    """Address of the receiver that this deployment's spans go to. Raises CliError when they go nowhere."""
    address = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    if not address:
        raise CliError(
            "traces are not kept: OTEL_EXPORTER_OTLP_ENDPOINT is not set", "the local stack keeps them: `lipstage up`"
        )
    return address.rstrip("/")


def fetch(job: Job) -> Traces:
    """The traces with a span of the job, without spans of other jobs in them, oldest first; empty while there is none.

    Raises CliError when the collector is another than the local stack's, or does not answer.
    """
    address = receiver()
    try:
        with urllib.request.urlopen(f"{address}/jobs/{job.job_id}?tenant={job.tenant}", timeout=ANSWER_S) as answer:
            found: dict[str, list[dict[str, Any]]] = json.load(answer)
            return {trace: [StoredSpan(**span) for span in spans] for trace, spans in found.items()}
    except (urllib.error.HTTPError, ValueError, TypeError, AttributeError):
        raise CliError(
            f"the collector at {address} does not answer for jobs", "look the job's trace id up in its own viewer"
        ) from None
    except OSError as e:
        raise CliError(f"the trace receiver at {address} does not answer: {e}") from None


def fetch_whole(job: Job, patience_s: float) -> Traces:
    """As ``fetch``, once the `render` summary and every parent are there, or after ``patience_s`` seconds anyway.

    Services export their spans in batches, up to a second after the job's end.
    """
    deadline = time.monotonic() + patience_s
    while True:
        found = fetch(job)
        if (found and all(whole(spans) for spans in found.values())) or time.monotonic() > deadline:
            return found
        time.sleep(POLL_S)


def whole(spans: Sequence[StoredSpan]) -> bool:
    """Whether a render's trace is all there: its summary, and the parent of every span."""
    ids = {span.span_id for span in spans}
    parents = all(not span.parent_id or span.parent_id in ids for span in spans)
    return parents and any(span.name == "render" for span in spans)


def lines(spans: Sequence[StoredSpan]) -> Iterator[Sequence[Part]]:
    """The tree: seconds from the trace's start, length, branch and name, service, what is worth knowing.

    A line's pieces at a time, for ``console.say``.
    """
    for root in tree(spans):
        yield from _branch(root, "", "")


def _branch(node: Node, branch: str, below: str) -> Iterator[Sequence[Part]]:
    span = node.span
    label = (branch + span.name).ljust(NAME_WIDTH)
    text = f"{node.offset_ms / 1000:8.3f}  {_length(node.duration_ms):>10}  {label}"
    rest = f" {span.service:<7}" + "".join(f" {note}" for note in _notes(span))
    if node.failed:
        yield (styled(f"{text}{rest.rstrip()}  ERROR {span.error}".rstrip(), red=True),)
    else:
        yield text, styled(rest.rstrip(), dim=True)
    for number, child in enumerate(node.children, 1):
        last = number == len(node.children)
        yield from _branch(child, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "))


def _length(milliseconds: float) -> str:
    return seconds(milliseconds / 1000) if milliseconds >= 1000 else f"{milliseconds:.0f} ms"


def _notes(span: StoredSpan) -> Iterator[str]:
    for name in SHOWN:
        value = span.attributes.get(name)
        if value is None or (name == "attempt" and value == 1) or value is False:
            continue
        yield str(value) if name == "artifact.role" else f"{name}={value}"
