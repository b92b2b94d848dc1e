"""The progress of fetching, checking and converting weights, on stderr."""

from types import TracebackType
from typing import Any, Self

from shared.cli import console
from shared.cli.printable import clean

MIN_LOGGED_BYTES = 32 << 20
"""Without a terminal, smaller files get no line."""
NARROW = 76
"""Below this width, in columns, the speed is left out."""


class WeightsProgress:
    """On a terminal one line that is updated in place, elsewhere one line for the start of each large file."""

    def __init__(self) -> None:
        self._rich: Any = None
        self._task: Any = None
        self._current: tuple[str, str] | None = None

    def __enter__(self) -> Self:
        if console.on_terminal():
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
            from rich.progress import TransferSpeedColumn as Speed
            from rich.table import Column

            screen = Console(stderr=True, highlight=False)
            columns = (
                TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
                BarColumn(12),
                DownloadColumn(),
                *([Speed()] if screen.width >= NARROW else []),
                TimeRemainingColumn(compact=True),
                TextColumn("left"),
            )
            self._rich = Progress(*columns, console=screen, transient=True)
            self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._rich is not None:
            self._rich.stop()

    def show(self, part: str, activity: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` bytes of ``part`` are done."""
        started = (part, activity) != self._current
        self._current = (part, activity)
        if self._rich is None:
            if started and total >= MIN_LOGGED_BYTES:
                console.note(f"{part}: {activity} {total >> 20} MiB")
            return
        if started:
            if self._task is not None:
                self._rich.remove_task(self._task)
            self._task = self._rich.add_task(clean(f"{part}: {activity}"), total=total)
        self._rich.update(self._task, completed=done)
