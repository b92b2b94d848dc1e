"""The spans of a trace as lines: a tree with times, on a terminal with the bars of a waterfall; errors stand out."""

from collections.abc import Iterator, Sequence

from shared.cli import waterfall
from shared.cli.console import Part, seconds, styled
from shared.telemetry.spans import StoredSpan
from shared.telemetry.trace_tree import Node, bounds, tree

NAME_WIDTH = 44
WIDE_TIMES, NARROW_TIMES, SERVICE = 22, 17, 8
"""Widths of start and length, and of the service behind the name."""
MIN_BAR, SMALL_BAR, MAX_BAR, ATTRIBUTES = 12, 24, 48, 26
"""Characters of the bars: where there is no room for the fewest, there are none; they grow beyond the small size where
attributes still have a place on the line."""
WIDE = ("├─ ", "└─ ", "│  ", "   ")
NARROW = ("├", "└", "│", " ")
"""Branches of the tree: to a child, to the last child, past further children, below the last child."""
SHOWN = ("cached", "attempt", "artifact.role", "frames", "audio.drift_ms", "render.quality", "error.type")
"""Attributes worth a place on the line; an attempt only from the second on."""
BEFORE_MS, EARLIER = 1000, "earlier"
"""A summary span that starts so much before its trace belongs to a replay: the submission was in another trace."""
MIN_WAIT_MS = 100
"""A shorter wait in a queue is not named."""


def lines(spans: Sequence[StoredSpan], columns: int | None = None) -> Iterator[Sequence[Part]]:
    """The tree: seconds from the trace's start, length, on a terminal the bar, branch and name, service, attributes.

    Each line is a sequence of pieces for ``console.say``. In a terminal of so many ``columns`` the branches are narrow
    where wide ones do not fit, and attributes that do not fit are a line of their own. A light piece of a bar is the
    time that the record waited in its topic.
    """
    roots = list(tree(spans))
    layout = _Layout(columns, max((_label_width(root, 0) for root in roots), default=0), spans)
    for root in roots:
        yield from layout.branch(root, "", "")


def _label_width(node: Node, depth: int) -> int:
    """Characters of the widest name below ``node`` with its branches."""
    below = (_label_width(child, depth + 1) for child in node.children)
    return max(depth * len(WIDE[0]) + len(node.span.name), *below, 0)


def _narrow_width(node: Node, depth: int) -> int:
    below = (_narrow_width(child, depth + 1) for child in node.children)
    return max(depth * len(NARROW[0]) + len(node.span.name), *below, 0)


def _bar(room: int) -> int:
    """Characters of the bars, when so many are left beside the other columns."""
    if room < MIN_BAR:
        return 0
    return min(max(room - ATTRIBUTES, min(room, SMALL_BAR)), MAX_BAR)


class _Layout:
    """How the columns of a tree are divided."""

    def __init__(self, columns: int | None, label_width: int, spans: Sequence[StoredSpan]) -> None:
        self.columns = columns
        self.spans = spans
        begin = bounds(spans)[0] if spans else 0
        self.starts = {span.span_id: (span.start_ns - begin) / 1e9 for span in spans}
        name = max(label_width, NAME_WIDTH)
        wide, narrow = columns is None or WIDE_TIMES + name + SERVICE <= columns, 0
        self.bar = 0 if columns is None else _bar(columns - WIDE_TIMES - label_width - 2 - SERVICE)
        if self.bar == 0 and columns is not None:
            narrow = max((_narrow_width(root, 0) for root in tree(spans)), default=0)
            self.bar = _bar(columns - NARROW_TIMES - narrow - 2 - SERVICE)
            wide = wide and self.bar == 0
        self.branches = WIDE if wide else NARROW
        self.times = "{:>8}  {:>10}  " if wide else "{:>7} {:>8} "
        self.start = (WIDE_TIMES if wide else NARROW_TIMES) + (self.bar + 1 if self.bar else 0)
        if self.bar and columns is not None:
            self.name = label_width if wide else narrow
        else:
            self.name = NAME_WIDTH if wide else max((columns or 0) - self.start - SERVICE, 1)

    def branch(self, node: Node, branch: str, below: str) -> Iterator[Sequence[Part]]:
        span = node.span
        start = EARLIER if node.offset_ms < -BEFORE_MS else f"{node.offset_ms / 1000:.3f}"
        times = self.times.format(start, length(node.duration_ms))
        if self.bar:
            times += waterfall.bar(waterfall.share(span, self.spans), self.bar) + " "
        text = times + (branch + span.name).ljust(self.name)
        rest = [f"{span.service:<7}", *attributes(span, self.starts)]
        if self.columns is not None and len(" ".join([text, *rest])) > self.columns:
            rest, second = rest[:1], rest[1:]
        else:
            second = []
        shown = " " + " ".join(rest)
        if node.failed:
            yield (styled(f"{text}{shown.rstrip()}  ERROR {span.error}".rstrip(), red=True),)
        else:
            yield text, styled(shown.rstrip(), dim=True)
        for one in _packed(second, self.columns or 0):
            below_name = self.start + len(branch)
            last_fit = (self.columns or 0) - len(one)
            yield (styled(" " * max(min(below_name, last_fit), 0) + one, dim=True),)
        to_child, to_last, past, beneath = self.branches
        for number, child in enumerate(node.children, 1):
            last = number == len(node.children)
            yield from self.branch(child, below + (to_last if last else to_child), below + (beneath if last else past))


def _packed(parts: Sequence[str], columns: int) -> Iterator[str]:
    """The parts on as few lines as they fit on; none is cut."""
    line = ""
    for part in parts:
        if line and len(line) + 1 + len(part) > columns:
            yield line
            line = ""
        line = f"{line} {part}".lstrip()
    if line:
        yield line


def length(milliseconds: float) -> str:
    """A time that a span took: ``48 ms``, ``4.21 s``, ``10m 34s``."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    whole = round(milliseconds / 1000)
    if whole < 100:
        return seconds(milliseconds / 1000)
    return f"{whole // 60}m {whole % 60:02d}s" if whole < 3600 else f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def attributes(span: StoredSpan, starts: dict[str, float]) -> Iterator[str]:
    """What a line says about a span; ``starts`` has the starts of the trace's spans, seconds."""
    for name in SHOWN:
        value = span.attributes.get(name)
        if value is None or (name == "attempt" and value == 1) or value is False:
            continue
        yield str(value) if name == "artifact.role" else f"{name}={value}"
    wait = span.attributes.get(waterfall.WAIT)
    if isinstance(wait, int) and wait >= MIN_WAIT_MS:
        yield f"waited {length(wait)}"
    for link in span.links:
        if link.get("kind") == "previous_attempt" and link["span_id"] in starts:
            yield f"retry of the attempt at {starts[link['span_id']]:.3f}"
