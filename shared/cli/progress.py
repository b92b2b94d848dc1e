"""Live progress of one job: bars per stage on a terminal, a line per change everywhere else."""

from types import TracebackType
from typing import Protocol, Self

from shared.cli import console
from shared.client import JobState
from shared.messages.engines import ENGINES, FPS
from shared.messages.events import AnyEvent, Finished, Progress, Replayed, Retrying, Started, Waiting, WarningGiven

QUARTERS = 4
"""Off a terminal a stage's progress is printed at every quarter."""
SILENCE_MS = 30_000
"""And at least this often, in milliseconds between events."""


class Display(Protocol):
    """Shows a job's progress; enter it before the first event, leave it after the last."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    def show(self, event: AnyEvent, job: JobState) -> None:
        """Show one event, which ``job`` includes already."""


class Lines:
    """One plain line per change, on stderr. Times are those of the events."""

    def __init__(self) -> None:
        self._started_ms: dict[str, int] = {}
        self._quarters: dict[str, int] = {}
        self._printed_ms: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def show(self, event: AnyEvent, job: JobState) -> None:
        match event:
            case Started():
                again = f", attempt {event.attempt}" if event.attempt > 1 else ""
                self._started_ms[event.stage] = self._printed_ms[event.stage] = event.time_ms
                self._quarters[event.stage] = 0
                console.note(f"{event.stage} started{again}")
            case Progress():
                self._progress(event, job)
            case Finished():
                cached = ", from the cache" if event.cached else ""
                console.note(f"{event.stage} finished in {console.seconds(event.seconds)}{cached}")
            case Waiting():
                console.note(f"{event.stage} waits: {event.code}: {event.message}")
            case Retrying():
                console.note(
                    f"{event.stage} failed: {event.code}: {event.message} The next attempt is number"
                    f" {event.next_attempt}."
                )
            case Replayed():
                console.note(f"{event.stage}: dead letter {event.dead_letter.id} replayed")
            case WarningGiven():
                console.note(f"warning {event.code}: {event.message}")
            case _:
                return

    def _progress(self, event: Progress, job: JobState) -> None:
        quarter = int(event.percent * QUARTERS / 100)
        is_due = self._quarters.get(event.stage, 0) < quarter
        is_late = event.time_ms - self._printed_ms.setdefault(event.stage, event.time_ms) >= SILENCE_MS
        if quarter >= QUARTERS or not (is_due or is_late):
            return
        self._quarters[event.stage], self._printed_ms[event.stage] = quarter, event.time_ms
        amount = frames_text(job.engine, event.stage, event.done, event.total)
        pieces = [f"{event.stage} {event.percent:.0f} %", *([f"{amount} of video"] if amount else [])]
        if (started := self._started_ms.get(event.stage)) is not None and event.percent > 0:
            elapsed = (event.time_ms - started) / 1000
            remaining = elapsed * (100 - event.percent) / event.percent
            pieces.append(f"{console.seconds(elapsed)} elapsed, about {console.seconds(remaining)} left")
        console.note(", ".join(pieces))


def frames_text(engine: str, stage: str, done: int, total: int) -> str:
    """Frames and seconds of video, such as ``126/252 frames, 5.0/10.1 s``; empty where a stage counts other units."""
    registered = ENGINES.get(engine) if stage == "infer" else None
    if not total or not (stage == "encode" or (registered and registered.progress_is_frames)):
        return ""
    return f"{done}/{total} frames, {done / FPS:.1f}/{total / FPS:.1f} s"


def display() -> Display:
    """Bars on a terminal, else lines."""
    if not console.on_terminal():
        return Lines()
    from shared.cli.progress_bars import Bars

    return Bars()
