"""``lipstage dlq replay``: prints the plan, and with --go carries it out."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from shared.cli import columns, console, dlq_filters, moments
from shared.cli.connection import connect
from shared.cli.errors import BadUse, ExitCode
from shared.client import Plan, Replayed, ReplayOptions
from shared.client.dead_letters.plan import ABOUT
from shared.client.dead_letters.rewriting import Rewriter, load_transform

TENTHS = 10
"""Off a terminal a line is printed at every tenth."""


@dataclass(frozen=True)
class Options:
    """The command's options, as given."""

    go: bool
    limit: int | None = None
    rate: float | None = None
    max_in_flight: int | None = None
    to: str | None = None
    patch: tuple[str, ...] = ()
    transform: Path | None = None
    extend_deadline: str | None = None
    force: bool = False
    by: str | None = None

    def as_text(self) -> tuple[tuple[str, str], ...]:
        """Those that are set, for the audit record."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("go", "by")}
        return tuple(
            (name, ", ".join(value) if isinstance(value, tuple) else str(value))
            for name, value in given.items()
            if value not in (None, False, ())
        )


def replay(given: Mapping[str, Any], options: Options, as_json: bool) -> ExitCode:
    """Print the plan, and carry it out where asked. Raises CliError, ClientError."""
    chosen = dlq_filters.parse(given)
    later = options.extend_deadline
    extend_s = moments.duration_s(later, "--extend-deadline") if later is not None else None
    transform = load_transform(options.transform) if options.transform is not None else None
    patches = tuple(_patch(text) for text in options.patch)
    client = connect()
    planned = client.replay(
        ReplayOptions(
            filter=chosen,
            rewriter=Rewriter(client.settings.topic_prefix, patches, extend_s, transform),
            to=options.to,
            limit=options.limit,
            rate=options.rate,
            max_in_flight=options.max_in_flight,
            force=options.force,
            by=options.by or dlq_filters.operator(),
            as_given=options.as_text(),
        )
    )
    plan = planned.plan()
    if not as_json:
        _show(plan)
    if not options.go:
        if as_json:
            console.emit_json({"go": False, "plan": plan.as_json()})
        elif plan.work:
            console.note("nothing was sent: add --go")
        return ExitCode.DONE
    if not plan.work:
        done = Replayed("", 0, 0, 0, plan.refused, ())
    else:
        with _Progress(plan.work, quiet=as_json) as progress, _stoppable() as stop:
            done = planned.run(plan.work, progress.show, stop)
    return _report(plan, done, as_json)


def _patch(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise BadUse(f"--patch {text!r} is not of the form name=value", "for example --patch params.seed=7")
    return name.strip(), value.strip()


def _show(plan: Plan) -> None:
    """The plan as a table, and where records go."""
    rows = [[str(plan.counts[verdict]), ABOUT[verdict]] for verdict in ABOUT if plan.counts[verdict]]
    if not rows:
        console.note("no dead letter matches")
        return
    columns.table(["COUNT", "PLAN"], rows, [])
    for topic, number in sorted(plan.targets.items()):
        console.say(f"to {topic}: {number}")
    if plan.changed:
        console.say(f"changed: {plan.changed}")
    for text in plan.diffs:
        console.say("")
        for line in text.splitlines():
            console.say(console.styled(line, dim=line.startswith(" "), bold=line.startswith(("+", "-"))))
    for problem in plan.problems:
        console.note(problem)
    for run in plan.unfinished:
        console.note(f"the run {run} has not ended: it still runs, or was interrupted")


def _report(plan: Plan, done: Replayed, as_json: bool) -> ExitCode:
    if as_json:
        console.emit_json(
            {
                "go": True,
                "plan": plan.as_json(),
                "run_id": done.run_id or None,
                "sent": done.sent,
                "parked": done.parked,
                "failed": done.failed,
                "refused": done.refused,
                "errors": list(done.errors),
            }
        )
    else:
        console.say(f"sent {done.sent}, parked {done.parked}, failed {done.failed}, refused {done.refused}")
        for error in done.errors:
            console.note(f"not sent: {error}")
        if done.failed:
            console.note("send the rest with the same command")
        if done.sent:
            console.note("see how they end with `lipstage dlq ls --group-by state`")
    if done.failed:
        return ExitCode.FAILED
    return ExitCode.GUARD if done.refused else ExitCode.DONE


@contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether Ctrl-C was pressed: the run then ends between two records, with what is
    under way noted. A second Ctrl-C interrupts at once."""
    pressed: list[int] = []

    def press(number: int, _: object) -> None:
        pressed.append(number)
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


class _Progress:
    """A bar with the remaining time on a terminal, else a line at every tenth."""

    def __init__(self, total: int, quiet: bool) -> None:
        self._total, self._quiet, self._tenth = total, quiet, 0
        self._started = time.monotonic()
        self._bar: Any = None
        if console.on_terminal() and not quiet:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("replay", markup=False),
                BarColumn(bar_width=20, complete_style="cyan", finished_style="green"),
                MofNCompleteColumn(),
                TimeRemainingColumn(compact=True),
                TextColumn("left"),
                console=Console(stderr=True, highlight=False),
                refresh_per_second=4,
            )
            self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, counts: Counter[str]) -> None:
        """Show what the broker has confirmed."""
        ended = counts["sent"] + counts["parked"] + counts["failed"]
        if self._bar is not None:
            self._bar.update(self._task, completed=ended)
            return
        tenth = ended * TENTHS // max(1, self._total)
        if not self._quiet and tenth > self._tenth:
            self._tenth = tenth
            left = (time.monotonic() - self._started) / ended * max(0, self._total - ended)
            rest = f", {console.seconds(left)} left" if ended < self._total else ""
            console.note(f"{ended} of {self._total}{rest}")
