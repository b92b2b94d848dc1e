"""The spans of a trace as a tree with times; tolerates missing parents and clocks that disagree."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.telemetry.spans import StoredSpan

SPAN = "render"
"""Name of the summary span."""
MAX_DEPTH = 100
"""Spans below each other in one tree; ours have about 20."""


@dataclass(slots=True)
class Node:
    """A span with its children; times in milliseconds, the offset from the start of the trace."""

    span: StoredSpan
    offset_ms: float
    duration_ms: float
    children: list["Node"] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether the span ended in an error."""
        return self.span.error is not None


def bounds(spans: Sequence[StoredSpan]) -> tuple[int, int]:
    """Start and end of a trace, nanoseconds since the epoch.

    The summary span does not count: it begins with the submission, which was hours before the trace of a replay.
    """
    work = [span for span in spans if span.name != SPAN] or spans
    return min(span.start_ns for span in work), max(span.end_ns for span in work)


def tree(spans: Sequence[StoredSpan]) -> list[Node]:
    """The roots, each with its children by start time.

    A span without its parent is a root; so is every span of a cycle, and one span in MAX_DEPTH of a long chain, which
    only a foreign exporter sends.
    """
    if not spans:
        return []
    start, _ = bounds(spans)
    ordered = sorted(spans, key=lambda span: (span.start_ns, -span.end_ns))
    nodes = {
        span.span_id: Node(span, (span.start_ns - start) / 1e6, max(0, span.end_ns - span.start_ns) / 1e6)
        for span in ordered
    }
    roots: list[Node] = []
    for node in nodes.values():
        parent = nodes.get(node.span.parent_id)
        if parent is None or _ancestors(node, nodes) in (None, 0):
            roots.append(node)
        else:
            parent.children.append(node)
    return roots


def job_spans(spans: Sequence[StoredSpan], tenant: str, job: str) -> list[StoredSpan]:
    """The spans of one job in a trace; empty when it has none.

    The sender creates the trace, so several jobs may share one. A span belongs to the job in its attributes, else to
    that of its nearest ancestor with one; spans above all of these belong to every job.
    """
    by_id = {span.span_id: span for span in spans}

    def owner(span: StoredSpan) -> tuple[object, object] | None:
        seen: set[str] = set()
        current: StoredSpan | None = span
        while current is not None and current.span_id not in seen:
            if "render.job" in current.attributes:
                return current.attributes.get("tenant"), current.attributes["render.job"]
            seen.add(current.span_id)
            current = by_id.get(current.parent_id)
        return None

    owners = [owner(span) for span in spans]
    if (tenant, job) not in owners:
        return []
    return [span for span, key in zip(spans, owners, strict=True) if key in (None, (tenant, job))]


def _ancestors(node: Node, nodes: dict[str, Node]) -> int | None:
    """How many spans are above this one, modulo MAX_DEPTH; None when it is one of them."""
    seen: set[str] = set()
    current = nodes.get(node.span.parent_id)
    while current is not None and current.span.span_id not in seen:
        if current is node:
            return None
        seen.add(current.span.span_id)
        current = nodes.get(current.span.parent_id)
    return len(seen) % MAX_DEPTH
