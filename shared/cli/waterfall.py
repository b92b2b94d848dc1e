"""Bars of a waterfall: where a span lies in its trace, and how long its record waited before."""

from collections.abc import Sequence

from shared.telemetry.spans import StoredSpan
from shared.telemetry.trace_tree import bounds

BUSY, QUEUED, EMPTY = "█", "░", " "
WAIT = "queue.wait_ms"


def share(span: StoredSpan, spans: Sequence[StoredSpan]) -> tuple[float, float, float]:
    """Where a span lies in its trace, each from 0 to 1: begin of the wait before it, start, end.

    The clocks of two machines differ: what lies before the trace is cut off.
    """
    begin, last = bounds(spans)
    whole = max(last - begin, 1)
    start = max(0.0, (span.start_ns - begin) / whole)
    wait = span.attributes.get(WAIT, 0)
    waited = wait * 1_000_000 / whole if isinstance(wait, int) and span.name.startswith("process ") else 0.0
    end = max(start, min(1.0, (span.end_ns - begin) / whole))
    return max(0.0, start - max(0.0, waited)), min(start, 1.0), min(end, 1.0)


def bar(shares: tuple[float, float, float], cells: int) -> str:
    """A bar of so many characters; a span of any length is at least one."""
    queued, start, end = (round(one * cells, 6) for one in shares)
    first = min(int(start), cells - 1)
    after = min(cells, max(first + 1, -int(-end // 1)))
    before = min(int(queued), first)
    return (EMPTY * before + QUEUED * (first - before) + BUSY * (after - first)).ljust(cells)
