"""What a stage author sees: one function over local files, ``handle(context, task) -> result``."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, JsonValue

from shared.messages.codes import Code, Rejected
from shared.messages.task import RenderTask
from shared.slot.records import Scalar

__all__ = ["Cancelled", "Context", "Handler", "Logger", "Rejected", "Result", "SpanHandle", "Task", "Unavailable"]


class Unavailable(Exception):
    """What the handler needs is not here: weights, a device. Raised by ``load()``; the message says what is missing and
    how to mend it. The service then stays up without taking work, and tries again."""


class Cancelled(Exception):
    """The job was cancelled; raised by ``Context.raise_if_cancelled`` and ``Context.progress``. Let it pass."""


@dataclass(frozen=True, slots=True)
class Task:
    """One stage's order."""

    job: RenderTask
    inputs: Mapping[str, Path]
    """Local, verified, read-only files by role."""


@dataclass(frozen=True, slots=True)
class Result:
    """What the stage made."""

    metadata: BaseModel
    """Typed metadata (shared.messages.metadata): small figures that travel in the message."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """Artifacts by role, in the scratch folder."""


class SpanHandle(Protocol):
    """An open span."""

    def set(self, name: str, value: Scalar) -> None:
        """Set an attribute: a native bool, int, float or str."""

    def event(self, name: str, attributes: Mapping[str, Scalar] | None = None) -> None:
        """Add a point in time."""


class Logger(Protocol):
    """Structured log lines; the parent adds job, stage and trace."""

    def debug(self, event: str, **fields: JsonValue) -> None: ...
    def info(self, event: str, **fields: JsonValue) -> None: ...
    def warning(self, event: str, **fields: JsonValue) -> None: ...
    def error(self, event: str, **fields: JsonValue) -> None: ...


class Context(Protocol):
    """The handler's only door to the outside."""

    @property
    def scratch(self) -> Path:
        """Empty folder of this task; all output goes here; deleted afterwards."""

    @property
    def log(self) -> Logger:
        """Where to write log lines."""

    @property
    def checkpoint(self) -> Path | None:
        """State that an earlier attempt at this very task saved, read-only; None: begin at the start.

        It is what that attempt wrote, for the same request and inputs. Whether it fits this version, these weights and
        this device is the handler's to check.
        """

    def save_checkpoint(self, path: Path, done: int) -> None:
        """Give state away from which a later attempt can go on, should this one be killed.

        The parent stores and deletes the file while the work goes on; only the newest counts. ``done`` is for people:
        how much of the work it holds. Only for a stage that declares ``resumes``.
        """

    def progress(self, done: int, total: int) -> None:
        """Say how far the work is. Raises Cancelled."""

    def raise_if_cancelled(self) -> None:
        """Call between pieces of work. Raises Cancelled."""

    def span(self, name: str, **attributes: Scalar) -> AbstractContextManager[SpanHandle]:
        """Time a piece of work; an exception that passes marks the span as failed."""

    def warn(self, code: Code, message: str) -> None:
        """Give the user a warning; the job goes on."""

    def count(self, metric: str, amount: float = 1.0) -> None:
        """Raise a counter of the metric catalogue."""

    def upload_chunk(self, role: str, path: Path, frames: int) -> None:
        """Hand the next chunk of a sequence over; the parent uploads and deletes it.

        Blocks while more than four are under way. Raises Cancelled.
        """

    def chunks(self, role: str) -> Iterator[Path]:
        """Iterate over a sequence that an earlier stage uploaded; a file is gone once the next is asked for."""


Handler = Callable[[Context, Task], Result]
