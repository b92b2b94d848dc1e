"""The traces of a job as one HTML page: no script, no network; it works from a file, is printable, and escapes all.

Spans are `details` elements, which browsers open by click and by keyboard.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from shared.cli import waterfall
from shared.cli.printable import clean
from shared.cli.trace import headline
from shared.cli.trace_lines import BEFORE_MS, EARLIER, attributes, length
from shared.client.job_key import JobKey
from shared.client.traces import Traces
from shared.telemetry.spans import StoredSpan
from shared.telemetry.trace_tree import SPAN, Node, bounds, tree

TEMPLATE = Path(__file__).with_name("trace_page.html")
SERVICES = ("audio", "face", "infer", "encode", "relay")
"""Services with a colour of their own."""
MAX_INDENT = 12
TRACE_ID = re.compile(r"\b[0-9a-f]{32}\b")
FACTS = (
    *("outcome", "error.type", "render.rejection", "engine", "inference.steps", "video.resolution"),
    *("audio.duration_asked_s", "audio.duration_s", "video.duration_s", "audio.duration_gap_ms"),
    *("audio.drift_ms", "container.drift_ms", "lip.offset_ms", "render.quality", "render.non_optimal", "render.slow"),
    *("attempts", "replays", "queue.wait_ms", "seconds.audio", "seconds.face", "seconds.infer", "seconds.encode"),
    *("gpu.seconds", "cpu.seconds", "tenant.department", "owner.hash"),
)
"""Attributes of the summary span that the page shows first, where it has them."""


def page(job: JobKey, traces: Traces) -> str:
    """The whole page."""
    start = min(bounds(spans)[0] for spans in traces.values())
    tenant = f" of the tenant {job.tenant}"
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=_text(f"Job {job.job_id}"),
        subtitle=_text(f"{len(traces)} {'trace' if len(traces) == 1 else 'traces'}{tenant}, from {_time(start)}"),
        traces="\n".join(_trace(trace_id, traces) for trace_id in traces),
    )


def _trace(trace_id: str, traces: Traces) -> str:
    spans = traces[trace_id]
    begin, end = bounds(spans)
    rows = "\n".join(row for root in tree(spans) for row in _rows(root, spans, 0))
    middle = (end - begin) / 2e6
    title = TRACE_ID.sub(
        lambda found: f'<a href="#{found[0]}">{found[0]}</a>' if found[0] != trace_id else found[0],
        _text(headline(trace_id, traces)),
    )
    return (
        f'<section id="{_text(trace_id)}">\n<h2>{title[0].upper() + title[1:]}</h2>\n'
        f'<p class="faint">from {_text(_time(begin))}</p>\n{_facts(spans)}'
        f'<div class="head" aria-hidden="true"><span>span</span><span>service</span>'
        f'<span class="number">start</span><span class="number">length</span>'
        f'<span class="axis"><span>0</span><span>{_text(length(middle))}</span><span>{_text(length(2 * middle))}</span>'
        f"</span></div>\n{rows}\n</section>"
    )


def _facts(spans: Iterable[StoredSpan]) -> str:
    found = [span for span in spans if span.name == SPAN]
    if not found:
        return ""
    summary = found[-1]
    facts = [(name, summary.attributes[name]) for name in FACTS if name in summary.attributes]
    items = "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(_value(value))}</dd></div>" for name, value in facts)
    return f'<dl class="facts">{items}</dl>\n' if items else ""


def _rows(node: Node, spans: list[StoredSpan], depth: int) -> Iterator[str]:
    span = node.span
    queued, start, end = (100 * share for share in waterfall.share(span, spans))
    service = span.service if span.service in SERVICES else "other"
    place = f"left:{queued:.3f}%;width:{start - queued:.3f}%"
    wait = f'<span class="wait" style="{place}"></span>' if start > queued else ""
    failed = ' <span class="badge">error</span>' if node.failed else ""
    notes = "".join(f' <span class="note">{_text(note)}</span>' for note in _notes(span, spans))
    indent = min(depth, MAX_INDENT)
    begin = EARLIER if node.offset_ms < -BEFORE_MS else f"{node.offset_ms / 1000:.3f} s"
    yield (
        f'<details class="{service}{" failed" if node.failed else ""}"><summary>'
        f'<span class="name" style="--depth:{indent}">{_text(span.name)}{failed}{notes}</span>'
        f"<span>{_text(span.service)}</span>"
        f'<span class="number">{begin}</span>'
        f'<span class="number">{_text(length(node.duration_ms))}</span>'
        f'<span class="track" aria-hidden="true">{wait}'
        f'<span class="bar" style="left:{min(start, 99.9):.3f}%;width:{max(end - start, 0.0):.3f}%"></span></span>'
        f'</summary><div class="more">{_more(span)}</div></details>'
    )
    for child in node.children:
        yield from _rows(child, spans, depth + 1)


def _notes(span: StoredSpan, spans: list[StoredSpan]) -> Iterator[str]:
    """What a row says beside the name: which attempt it is, and of what."""
    begin, _ = bounds(spans)
    starts = {one.span_id: (one.start_ns - begin) / 1e9 for one in spans}
    yield from (text for text in attributes(span, starts) if text.startswith(("attempt=", "retry ", "error.type=")))


def _more(span: StoredSpan) -> str:
    parts = [f'<p class="badge">{_text(span.error or "failed")}</p>'] if span.error is not None else []
    parts.append(_table("Attributes", span.attributes))
    for event in span.events:
        after = (int(event.get("time_ns", 0)) - span.start_ns) / 1e6
        parts.append(_table(f"Event {event.get('name', '')}, {length(after)} after the start", event["attributes"]))
    for link in span.links:
        target = f'<a href="#{_text(link["trace_id"])}"><code>{_text(link["trace_id"])}</code></a>'
        kind = link.get("kind") or "linked"
        parts.append(f"<p>Link: {_text(kind)}, trace {target}, span <code>{_text(link['span_id'])}</code></p>")
    about = f"{span.kind}, span {span.span_id}" + (f", version {span.version}" if span.version else "")
    parts.append(f'<p class="faint">{_text(about)}, from {_text(_time(span.start_ns))}</p>')
    return "".join(parts)


def _table(title: str, values: Mapping[str, Any]) -> str:
    if not values:
        return ""
    rows = "".join(
        f'<tr><th scope="row"><code>{_text(name)}</code></th><td>{_text(_value(values[name]))}</td></tr>'
        for name in sorted(values)
    )
    return f"<h3>{_text(title)}</h3><table>{rows}</table>"


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(text: str) -> str:
    """Text of others as text of the page: no markup, and nothing that reorders or hides characters."""
    return escape(clean(text), quote=True)


def _time(ns: int) -> str:
    try:
        return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return "an unknown time"
