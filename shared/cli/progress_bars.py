"""Progress of one job on a terminal: a bar per stage that moves in place, with its amount and its times."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TaskProgressColumn, TextColumn
from rich.progress import Progress as Rich
from rich.table import Column
from rich.text import Text

from shared.cli import console
from shared.cli.printable import clean
from shared.cli.progress import frames_text
from shared.client import JobState, StageState
from shared.messages.events import AnyEvent, Started, WarningGiven
from shared.messages.pipeline import STAGES

NARROW = 76
"""Below this width, in columns, seconds of video are left out."""
BAR_WIDTHS = (8, 24)
OTHER_COLUMNS = 60
"""Width of everything beside the bar on a wide terminal."""


class EventClock:
    """Seconds on the clock of the events: past events take their own times, and time goes on after the last one."""

    def __init__(self) -> None:
        self._event_s = self._received_s = 0.0

    def __call__(self) -> float:
        return self._event_s + time.monotonic() - self._received_s

    def set(self, event_ms: int) -> None:
        """Set the clock by an event that has arrived just now; it never goes back."""
        now = self() if self._event_s else 0.0
        self._event_s, self._received_s = max(now, event_ms / 1000), time.monotonic()


class Times(ProgressColumn):
    """The time that a finished stage took; of a running one the elapsed time and rich's estimate of the remaining."""

    def render(self, task: Task) -> Text:
        """Plain text, of one line."""
        if (took := task.fields["seconds"]) is not None:
            return Text(console.seconds(took))
        elapsed = task.finished_time if task.finished else task.elapsed
        if elapsed is None:
            return Text()
        left = "" if task.finished or task.time_remaining is None else f"  {console.clock(task.time_remaining)} left"
        return Text(f"{console.clock(elapsed)}{left}")


class Bars:
    """A bar per stage, on stderr."""

    def __init__(self) -> None:
        screen = Console(stderr=True, highlight=False)
        self._clock = EventClock()
        self._is_narrow = screen.width < NARROW
        self._rich = Rich(
            # Without markup: names of stages and reasons come from events.
            TextColumn("{task.description:<6}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(
                bar_width=min(max(screen.width - OTHER_COLUMNS, BAR_WIDTHS[0]), BAR_WIDTHS[1]),
                complete_style="cyan",
                finished_style="green",
            ),
            TaskProgressColumn(text_format="{task.percentage:>3.0f}%", markup=False),
            TextColumn("{task.fields[note]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            Times(table_column=Column(no_wrap=True)),
            console=screen,
            refresh_per_second=8,
            get_time=self._clock,
        )
        self._bars: dict[str, TaskID] = {}
        for name in STAGES:
            self._add(name)

    def __enter__(self) -> Self:
        self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._rich.stop()

    def show(self, event: AnyEvent, job: JobState) -> None:
        self._clock.set(event.time_ms)
        for name, stage in job.stages.items():
            bar = self._bars[name] if name in self._bars else self._add(name)  # A stage of a newer deployment.
            if isinstance(event, Started) and event.stage == name and stage.state == "running":
                self._rich.reset(bar)
            note = clean(self._note(job.engine, name, stage))
            self._rich.update(bar, completed=stage.percent, note=note, seconds=stage.seconds)
        if isinstance(event, WarningGiven):
            text = clean(f"warning {event.code}: {event.message}")
            self._rich.console.print(text, style="yellow", markup=False, emoji=False)

    def _add(self, name: str) -> TaskID:
        self._bars[name] = self._rich.add_task(clean(name), start=False, total=100, note="waiting", seconds=None)
        return self._bars[name]

    def _note(self, engine: str, name: str, stage: StageState) -> str:
        if stage.waiting_for:
            return f"waiting: {stage.waiting_for}"
        if stage.state == "waiting":
            return "waiting"
        is_finished = stage.state == "finished"
        amount = frames_text(engine, name, stage.total if is_finished else stage.done, stage.total)
        if self._is_narrow:
            amount = amount.partition(",")[0]
        if is_finished:
            return "from the cache" if stage.cached else amount
        again = f"attempt {stage.attempt}" if stage.attempt > 1 else ""
        return ", ".join(filter(None, [amount, again])) or "working"
