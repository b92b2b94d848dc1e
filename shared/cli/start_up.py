"""What a command prints while the local stack starts: a line for each part, and on a terminal the time so far."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.cli import console
from shared.cli.printable import clean


@contextmanager
def display(quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Yield the function that prints a line about the start, on stderr; ``quiet`` prints nothing."""
    if quiet:
        yield lambda _: None
    elif not console.on_terminal():
        yield console.note
    else:
        with _with_spinner() as note:
            yield note


@contextmanager
def _with_spinner() -> Iterator[Callable[[str], None]]:
    """Lines above a spinner, which is removed at the end."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    stderr = Console(stderr=True, highlight=False)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=stderr, transient=True) as progress:
        progress.add_task("usually 15 to 30 s", total=None)
        yield lambda text: stderr.print(clean(text), markup=False, emoji=False)
