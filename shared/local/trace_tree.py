"""Spans of a trace as a tree with times; tolerant of missing parents and of clocks that disagree."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.local.trace_store import StoredSpan


@dataclass(slots=True)
class Node:
    """A span in its place; times in milliseconds, the offset from the trace's start."""

    span: StoredSpan
    offset_ms: float
    duration_ms: float
    children: list["Node"] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether the span ended in an error."""
        return self.span.error is not None


def tree(spans: Sequence[StoredSpan]) -> list[Node]:
    """The roots, children in the order of their start.

    A span whose parent is not (yet) here is a root; so is every span of a cycle, which only a broken exporter makes.
    """
    if not spans:
        return []
    start = min(span.start_ns for span in spans)
    ordered = sorted(spans, key=lambda span: (span.start_ns, -span.end_ns))
    nodes = {
        span.span_id: Node(span, (span.start_ns - start) / 1e6, max(0, span.end_ns - span.start_ns) / 1e6)
        for span in ordered
    }
    roots: list[Node] = []
    for node in nodes.values():
        parent = nodes.get(node.span.parent_id)
        if parent is None or _descends(parent, node, nodes):
            roots.append(node)
        else:
            parent.children.append(node)
    return roots


def of_job(spans: Sequence[StoredSpan], tenant: str, job: str) -> list[StoredSpan]:
    """A trace without what belongs to other jobs; nothing when it has no span of this one.

    Several jobs may share a trace: whoever sends them makes it. A span belongs to the job that it names, else to that
    of its nearest ancestor that names one; what is above them all belongs to every one.
    """
    by_id = {span.span_id: span for span in spans}

    def named(span: StoredSpan) -> tuple[object, object] | None:
        seen: set[str] = set()
        at: StoredSpan | None = span
        while at is not None and at.span_id not in seen:
            if "render.job" in at.attributes:
                return at.attributes.get("tenant"), at.attributes["render.job"]
            seen.add(at.span_id)
            at = by_id.get(at.parent_id)
        return None

    owners = [named(span) for span in spans]
    if (tenant, job) not in owners:
        return []
    return [span for span, owner in zip(spans, owners, strict=True) if owner in (None, (tenant, job))]


def _descends(node: Node, ancestor: Node, nodes: dict[str, Node]) -> bool:
    seen: set[str] = set()
    at: Node | None = node
    while at is not None and at.span.span_id not in seen:
        if at is ancestor:
            return True
        seen.add(at.span.span_id)
        at = nodes.get(at.span.parent_id)
    return False
