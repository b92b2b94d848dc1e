"""Runs a handler without a pipe, a broker or an object store: for tests of stages and benchmarks in one process."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from shared.messages.chunks import RAW, FrameCodec
from shared.messages.codes import Code
from shared.slot.api import Cancelled, SpanHandle
from shared.slot.records import Scalar


@dataclass
class RecordedSpan:
    """A span that the handler recorded."""

    name: str
    attributes: dict[str, Scalar]
    events: list[tuple[str, dict[str, Scalar]]] = field(default_factory=list)
    error: str | None = None

    def set(self, name: str, value: Scalar) -> None:
        self.attributes[name] = value

    def event(self, name: str, attributes: Mapping[str, Scalar] | None = None) -> None:
        self.events.append((name, dict(attributes or {})))


class RecordedLog:
    """Log lines as (level, event, fields)."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, JsonValue]]] = []

    def debug(self, event: str, **fields: JsonValue) -> None:
        self.lines.append(("debug", event, fields))

    def info(self, event: str, **fields: JsonValue) -> None:
        self.lines.append(("info", event, fields))

    def warning(self, event: str, **fields: JsonValue) -> None:
        self.lines.append(("warning", event, fields))

    def error(self, event: str, **fields: JsonValue) -> None:
        self.lines.append(("error", event, fields))


class StageHarness:
    """A context that records the handler's calls.

    sequences: chunk files of earlier stages by role; cancel_after: number of cancellation checks that pass before one
    raises Cancelled; checkpoint: file of an earlier attempt; signer: signs what the handler
    asks the parent process to sign.
    """

    def __init__(
        self,
        scratch: Path,
        sequences: Mapping[str, Sequence[Path]] | None = None,
        cancel_after: int | None = None,
        checkpoint: Path | None = None,
        signer: Callable[[bytes], bytes] | None = None,
    ) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self._scratch = scratch
        self._sequences = sequences or {}
        self._cancel_after = cancel_after
        self._checks = 0
        self._checkpoint = checkpoint
        self.signer = signer
        self.log = RecordedLog()
        self.spans: list[RecordedSpan] = []
        self.warnings: list[tuple[Code, str]] = []
        self.counters: dict[str, float] = {}
        self.progressed: list[tuple[int, int]] = []
        self.uploaded: dict[str, list[tuple[Path, int]]] = {}
        self.codecs: dict[str, FrameCodec] = {}
        self.checkpoints: list[tuple[Path, int]] = []
        self.waited_s = 0.0
        self.segments: list[tuple[bytes, float]] = []

    @property
    def scratch(self) -> Path:
        return self._scratch

    @property
    def checkpoint(self) -> Path | None:
        return self._checkpoint

    def save_checkpoint(self, path: Path, done: int) -> None:
        self.checkpoints.append((path, done))

    def progress(self, done: int, total: int) -> None:
        self.progressed.append((done, total))
        self.raise_if_cancelled()

    def raise_if_cancelled(self) -> None:
        self._checks += 1
        if self._cancel_after is not None and self._checks > self._cancel_after:
            raise Cancelled

    @contextmanager
    def span(self, name: str, **attributes: Scalar) -> Iterator[SpanHandle]:
        span = RecordedSpan(name, dict(attributes))
        self.spans.append(span)
        try:
            yield span
        except BaseException as e:
            span.error = type(e).__name__
            raise

    def warn(self, code: Code, message: str) -> None:
        self.warnings.append((code, message))

    def count(self, metric: str, amount: float = 1.0) -> None:
        self.counters[metric] = self.counters.get(metric, 0.0) + amount

    def upload_chunk(self, role: str, path: Path, frames: int, codec: FrameCodec = RAW) -> None:
        self.uploaded.setdefault(role, []).append((path, frames))
        assert self.codecs.setdefault(role, codec) == codec, "all chunks of a sequence have one codec"

    def publish_segment(self, path: Path, seconds: float) -> None:
        self.segments.append((path.read_bytes(), seconds))

    def sign(self, data: bytes) -> bytes:
        assert self.signer is not None, "a handler asks for a signature only where the task has a signer"
        return self.signer(data)

    def chunks(self, role: str) -> Iterator[Path]:
        yield from self._sequences[role]
