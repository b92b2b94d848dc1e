"""Progress of a batch that is being submitted: a bar with the time left on a terminal, nothing elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from shared.cli import console


class Shown(Protocol):
    """What shows the progress."""

    def advance(self) -> None:
        """One more job has been sent or refused."""


class _Nothing:
    def advance(self) -> None:
        """The ids on stdout are the progress."""


@contextmanager
def progress(total: int, *, quiet: bool) -> Iterator[Shown]:
    """Show how many of ``total`` jobs are sent, and how long the rest takes; nothing for a single job."""
    if total < 2 or quiet or not console.on_terminal():
        yield _Nothing()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        BarColumn(bar_width=10, complete_style="cyan", finished_style="green"),
        MofNCompleteColumn(),
        TextColumn("sent,", markup=False),
        TimeRemainingColumn(compact=True),
        TextColumn("left", markup=False),
        console=Console(stderr=True, highlight=False),
        refresh_per_second=4,
        # Ids that go to a file or a pipe must not be printed on the terminal instead.
        redirect_stdout=sys.stdout.isatty(),
    )
    task = bar.add_task("", total=total)

    class Bar:
        def advance(self) -> None:
            bar.advance(task)

    with bar:
        yield Bar()
