"""The interface of a stage's handler: one function over local files, ``handle(context, task) -> result``."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, JsonValue

from shared.messages.chunks import RAW, FrameCodec
from shared.messages.codes import Code, Rejected
from shared.messages.task import RenderTask
from shared.slot.marking import Marking
from shared.slot.records import Scalar

__all__ = ["Cancelled", "Context", "Handler", "Logger", "Rejected", "Result", "SpanHandle", "Task", "Unavailable"]


class Unavailable(Exception):
    """A requirement of the handler is missing: weights, a device.

    Raised by ``load()``; the message names what is missing and the fix. The service is then not ready, takes no work,
    and tries again.
    """


class Cancelled(Exception):
    """The job was cancelled; raised by methods of Context. Handlers let it propagate."""


@dataclass(slots=True)
class Task:
    """One stage's part of a job."""

    job: RenderTask
    """When a stage starts early, without the output of the stage that still makes its sequence; with it once
    ``Context.chunks`` has ended."""
    inputs: Mapping[str, Path]
    """Local, verified, read-only files by role."""
    codecs: Mapping[str, FrameCodec] = field(default_factory=dict)
    """Codec of each sequence that is still made, by role."""
    marking: Marking = field(default_factory=Marking)
    """How the finished video says that it is synthetic; of a stage that declares ``marks``."""


@dataclass(frozen=True, slots=True)
class Result:
    """The output of a stage."""

    metadata: BaseModel
    """A model of shared.messages.metadata: small values that are part of the message."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """Artifacts by role, in the scratch folder; roles and contents as in the stage's StageSpec."""


class SpanHandle(Protocol):
    """An open span."""

    def set(self, name: str, value: Scalar) -> None:
        """Set an attribute to a bool, int, float or str."""

    def event(self, name: str, attributes: Mapping[str, Scalar] | None = None) -> None:
        """Add an event at the current time."""


class Logger(Protocol):
    """Structured log lines; the parent process adds job, stage and trace."""

    def debug(self, event: str, **fields: JsonValue) -> None: ...
    def info(self, event: str, **fields: JsonValue) -> None: ...
    def warning(self, event: str, **fields: JsonValue) -> None: ...
    def error(self, event: str, **fields: JsonValue) -> None: ...


class Context(Protocol):
    """The handler's access to its task's files, telemetry and cancellation. Call it from the thread of ``handle``."""

    @property
    def waited_s(self) -> float:
        """How long ``chunks`` has waited so far, seconds."""

    @property
    def scratch(self) -> Path:
        """Empty folder for all output of this task; deleted afterwards."""

    @property
    def log(self) -> Logger:
        """The logger."""

    @property
    def checkpoint(self) -> Path | None:
        """The newest checkpoint of an earlier attempt at this task, read-only; None: start from the beginning.

        It belongs to the same request and inputs. The handler checks that it fits this version, these weights and this
        device.
        """

    def save_checkpoint(self, path: Path, done: int) -> None:
        """Save state from which a later attempt can continue if this one is killed.

        The parent process stores and deletes the file in the background; only the newest checkpoint counts. ``done`` is
        the finished part of the work, for log lines. Only for a stage that declares ``resumes``.
        """

    def progress(self, done: int, total: int) -> None:
        """Report ``done`` of ``total`` units of work. Raises Cancelled."""

    def raise_if_cancelled(self) -> None:
        """Raise Cancelled when the job was cancelled; call it between pieces of work."""

    def span(self, name: str, **attributes: Scalar) -> AbstractContextManager[SpanHandle]:
        """Record a span around a piece of work; an exception that propagates marks it as failed."""

    def warn(self, code: Code, message: str) -> None:
        """Warn the user; the job continues."""

    def count(self, metric: str, amount: float = 1.0) -> None:
        """Increase a counter of the metric catalogue."""

    def upload_chunk(self, role: str, path: Path, frames: int, codec: FrameCodec = RAW) -> None:
        """Pass on the next chunk of a sequence; the parent process uploads and deletes it.

        All chunks of a sequence have one codec, which the handler also states in its metadata for the next stage.
        Blocks while four chunks wait for their upload. Raises Cancelled.
        """

    def publish_segment(self, path: Path, seconds: float) -> None:
        """Pass on the next segment of the preview that the request asks for; the parent process publishes and deletes
        it. ``seconds`` is its length; the first segment, of length 0, initialises a decoder."""

    def chunks(self, role: str) -> Iterator[Path]:
        """Iterate over a sequence of an earlier stage; a file is deleted when the next one is requested.

        Raises Cancelled.
        """

    def sign(self, data: bytes) -> bytes:
        """The signature of a C2PA claim (COSE's Sig_structure) by the parent process, which has the key.

        Only where ``Task.marking.signing`` is set, and once: the parent ends a worker that asks for anything else.
        Raises Cancelled.
        """


Handler = Callable[[Context, Task], Result]
