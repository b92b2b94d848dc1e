"""The context in a worker process: a handler's calls become records on the pipe to the parent process."""

import base64
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from pydantic import BaseModel, JsonValue

from shared.messages.chunks import RAW, FrameCodec
from shared.messages.codes import Code
from shared.slot import records
from shared.slot.api import Cancelled, SpanHandle, Task
from shared.slot.records import Scalar

MAX_CHUNK_UPLOADS = 4
"""Chunks that may wait for their upload: bounds the scratch folder to four chunks."""

Send = Callable[[BaseModel], None]


class PipeSpan:
    """Collects one span, which is sent when it ends."""

    def __init__(self, attributes: Mapping[str, Scalar]) -> None:
        self.id = os.urandom(8).hex()
        self.attributes = dict(attributes)
        self.events: list[records.SpanEvent] = []

    def set(self, name: str, value: Scalar) -> None:
        if name in self.attributes or len(self.attributes) < records.MAX_ATTRIBUTES:
            self.attributes[name] = value

    def event(self, name: str, attributes: Mapping[str, Scalar] | None = None) -> None:
        if len(self.events) == records.MAX_EVENTS:
            return  # The first events of a handler that adds one per frame are enough.
        self.events.append(records.SpanEvent(name=name, time_ns=time.time_ns(), attributes=dict(attributes or {})))


class PipeLogger:
    """Sends log lines over the pipe."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def debug(self, event: str, **fields: JsonValue) -> None:
        self._send(records.Log(level="debug", event=event, fields=fields))

    def info(self, event: str, **fields: JsonValue) -> None:
        self._send(records.Log(level="info", event=event, fields=fields))

    def warning(self, event: str, **fields: JsonValue) -> None:
        self._send(records.Log(level="warning", event=event, fields=fields))

    def error(self, event: str, **fields: JsonValue) -> None:
        self._send(records.Log(level="error", event=event, fields=fields))


class PipeContext:
    """The context of one task. Not thread-safe: only the thread that runs ``handle`` may call it."""

    def __init__(
        self,
        pipe: Connection,
        task: Task,
        scratch: Path,
        chunk_counts: Mapping[str, int],
        checkpoint: Path | None = None,
    ) -> None:
        self._pipe = pipe
        self._task = task
        self._scratch = scratch
        self._checkpoint = checkpoint
        self._chunk_counts = chunk_counts
        self._log = PipeLogger(self.send)
        self._spans: list[PipeSpan] = []
        self._uploading = 0
        self._ready_chunks: dict[tuple[str, int], Path] = {}
        self._complete: set[str] = set()
        self._signature: bytes | None = None
        self._waited_s = 0.0
        self._cancelled = False

    @property
    def waited_s(self) -> float:
        return self._waited_s

    @property
    def scratch(self) -> Path:
        return self._scratch

    @property
    def checkpoint(self) -> Path | None:
        return self._checkpoint

    def save_checkpoint(self, path: Path, done: int) -> None:
        self.send(records.Checkpoint(path=str(path), done=done))

    @property
    def log(self) -> PipeLogger:
        return self._log

    def send(self, record: BaseModel) -> None:
        """Write one record. Raises OSError when the parent process has ended."""
        self._pipe.send_bytes(record.model_dump_json().encode())

    def progress(self, done: int, total: int) -> None:
        self.send(records.Progress(done=done, total=total))
        self.raise_if_cancelled()

    def raise_if_cancelled(self) -> None:
        while self._pipe.poll():
            self._receive()
        self._raise_cancelled()

    @contextmanager
    def span(self, name: str, **attributes: Scalar) -> Iterator[SpanHandle]:
        span = PipeSpan(attributes)
        parent = self._spans[-1].id if self._spans else None
        self._spans.append(span)
        start, error = time.time_ns(), None
        try:
            yield span
        except BaseException as e:
            error = type(e).__name__
            raise
        finally:
            self._spans.pop()
            self.send(
                records.Span(
                    name=name,
                    span_id=span.id,
                    parent_id=parent,
                    start_ns=start,
                    end_ns=time.time_ns(),
                    attributes=span.attributes,
                    events=tuple(span.events),
                    error=error,
                )
            )

    def warn(self, code: Code, message: str) -> None:
        self.send(records.Warned(code=code, message=message))

    def count(self, metric: str, amount: float = 1.0) -> None:
        self.send(records.Metric(name=metric, amount=amount))

    def upload_chunk(self, role: str, path: Path, frames: int, codec: FrameCodec = RAW) -> None:
        while self._uploading >= MAX_CHUNK_UPLOADS:
            self._receive()
            self._raise_cancelled()
        self._uploading += 1
        self.send(records.FileReady(role=role, path=str(path), frames=frames, codec=codec))

    def publish_segment(self, path: Path, seconds: float) -> None:
        self.send(records.Segment(path=str(path), seconds=seconds))

    def chunks(self, role: str) -> Iterator[Path]:
        index, count = 0, self._chunk_counts.get(role)
        while index != count:
            started = time.monotonic()
            self.send(records.ChunkRequest(role=role, index=index))
            while (role, index) not in self._ready_chunks and role not in self._complete:
                self._receive()
                self._raise_cancelled()
            self._waited_s += time.monotonic() - started
            if role in self._complete:
                return
            path = self._ready_chunks.pop((role, index))
            yield path
            path.unlink(missing_ok=True)
            index += 1

    def sign(self, data: bytes) -> bytes:
        self._signature = None
        self.send(records.Sign(data=base64.b64encode(data)))
        while self._signature is None:
            self._receive()
            self._raise_cancelled()
        return self._signature

    def _receive(self) -> None:
        """Wait for one record of the parent process. Raises EOFError when that has ended."""
        record = records.TO_WORKER.validate_json(self._pipe.recv_bytes())
        match record:
            case records.Cancel():
                self._cancelled = True
            case records.ChunkUploaded():
                self._uploading -= 1
            case records.ChunkReady(role=role, index=index, path=path):
                self._ready_chunks[role, index] = Path(path)
            case records.ChunksEnd(role=role, job=job):
                self._complete.add(role)
                self._task.job = job
            case records.Signed(signature=signature):
                self._signature = signature
            case records.Work():
                raise RuntimeError("a second task arrived while one is running")

    def _raise_cancelled(self) -> None:
        if self._cancelled:
            raise Cancelled
