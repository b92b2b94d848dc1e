"""Live progress of one job: bars per stage on a terminal, a line per change everywhere else."""

from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from shared.cli import console
from shared.cli.printable import clean
from shared.client import JobState, StageState
from shared.messages.events import AnyEvent, Finished, Progress, Started, Waiting, WarningGiven
from shared.messages.pipeline import STAGES

if TYPE_CHECKING:
    from rich.progress import TaskID

QUARTERS = 4
"""Off a terminal a stage's progress is printed at every quarter."""


class Display(Protocol):
    """Shows a job's progress; enter it before the first event, leave it after the last."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    def show(self, event: AnyEvent, job: JobState) -> None:
        """Show one event, which ``job`` includes already."""


class Lines:
    """One plain line per change, on stderr."""

    def __init__(self) -> None:
        self._quarters: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def show(self, event: AnyEvent, job: JobState) -> None:  # noqa: ARG002 - Display's signature
        match event:
            case Started():
                again = f", attempt {event.attempt}" if event.attempt > 1 else ""
                self._quarters[event.stage] = 0
                console.note(f"{event.stage} started{again}")
            case Progress():
                quarter = int(event.percent * QUARTERS / 100)
                if self._quarters.get(event.stage, 0) < quarter < QUARTERS:
                    self._quarters[event.stage] = quarter
                    console.note(f"{event.stage} {event.percent:.0f} % ({event.done} of {event.total})")
            case Finished():
                cached = ", from the cache" if event.cached else ""
                console.note(f"{event.stage} finished in {console.seconds(event.seconds)}{cached}")
            case Waiting():
                console.note(f"{event.stage} waits: {event.code}: {event.message}")
            case WarningGiven():
                console.note(f"warning {event.code}: {event.message}")
            case _:
                return


class Bars:
    """A bar per stage that moves in place, on stderr."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Rich

        self._rich = Rich(
            # Without markup: names of stages and reasons come from events.
            TextColumn("  {task.description:<7}", markup=False),
            BarColumn(bar_width=32, complete_style="cyan", finished_style="green"),
            TextColumn("{task.fields[note]}", markup=False),
            console=Console(stderr=True, highlight=False),
            refresh_per_second=8,
        )
        waiting = self._note(StageState())
        self._bars: dict[str, TaskID] = {name: self._rich.add_task(name, total=100, note=waiting) for name in STAGES}

    def __enter__(self) -> Self:
        self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._rich.stop()

    def show(self, event: AnyEvent, job: JobState) -> None:
        for name, stage in job.stages.items():
            if name not in self._bars:  # A stage of a newer deployment.
                self._bars[name] = self._rich.add_task(clean(name), total=100, note="")
            self._rich.update(self._bars[name], completed=stage.percent, note=clean(self._note(stage)))
        if isinstance(event, WarningGiven):
            text = clean(f"  warning {event.code}: {event.message}")
            self._rich.console.print(text, style="yellow", markup=False, emoji=False)

    @staticmethod
    def _note(stage: StageState) -> str:
        if stage.waiting_for:
            return f"waiting: {stage.waiting_for}"
        match stage.state:
            case "finished":
                time = "" if stage.seconds is None else console.seconds(stage.seconds)
                return f"{time}  from the cache" if stage.cached else time
            case "running":
                count = f"{stage.done} of {stage.total}" if stage.total else "working"
                return f"{count}  attempt {stage.attempt}" if stage.attempt > 1 else count
        return "waiting"


def display() -> Display:
    """Bars on a terminal, else lines."""
    return Bars() if console.on_terminal() else Lines()
