"""A handler for tests of the runtime: its behaviour is chosen by the job's label ``do``."""

import errno
import json
import logging
import mmap
import os
import resource
import signal
import struct
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from shared.messages.chunks import H264_LOSSLESS, RAW
from shared.messages.codes import Code, Rejected
from shared.slot import records
from shared.slot.api import Context, Handler, Result, Task
from shared.slot.limits import limit_cpu

MIB = 1 << 20
MUCH = 3 * MIB
"""More bytes than the small disk of the tests has free."""


class Metadata(BaseModel):
    environment: list[str] = []
    pid: int = 0
    checkpoint: str | None = None
    much: str = ""


def fill(context: Context, how: str) -> None:
    """Write more than fits the disk, and fail as libraries do."""
    path = context.scratch / "much"
    match how:
        case "plainly":
            path.write_bytes(b"x" * MUCH)
        case "as numpy":  # It reports no errno.
            np.ones(MUCH, np.uint8).tofile(path)
        case "as numpy, and leave nothing":
            try:
                np.ones(MUCH, np.uint8).tofile(path)
            finally:
                path.unlink()
        case "as a rejection":
            try:
                path.write_bytes(b"x" * MUCH)
            except OSError as e:
                raise Rejected(Code.AUDIO_UNREADABLE, "can't be decoded") from e
        case "by a signal":
            with path.open("wb+") as file:
                file.truncate(MUCH)
                with mmap.mmap(file.fileno(), MUCH) as mapped:
                    for offset in range(0, MUCH, mmap.PAGESIZE):
                        mapped[offset] = 1


def flood(context: Context, what: str) -> None:
    """Send far more records than a valid handler."""
    pipe: Callable[..., None] = context.send  # type: ignore[attr-defined]
    for number in range(30_000):
        match what:
            case "progress":
                pipe(records.Progress(done=100, total=100))
            case "warnings":
                pipe(records.Warned(code=Code.LOW_RESOLUTION, message=f"{number} " + "x" * 3900))
            case "logs":
                pipe(records.Log(level="info", event="line", fields={"n": number}))
            case "spans":
                pipe(records.Span(name="step", span_id=f"{number + 1:016x}", start_ns=1, end_ns=2))
            case "metrics":
                pipe(records.Metric(name=f"m{number}"))
            case "chunks":
                path = context.scratch / f"chunk-{number}"
                path.write_bytes(b"x")
                pipe(records.FileReady(role="frames", path=str(path), frames=1))
            case "roles":
                path = context.scratch / f"chunk-{number}"
                path.write_bytes(b"x")
                context.upload_chunk(f"frames_{number}", path, 1)
            case "codecs":
                path = context.scratch / f"chunk-{number}"
                path.write_bytes(b"x")
                context.upload_chunk("frames", path, 1, H264_LOSSLESS if number else RAW)
            case "unknown chunks":
                pipe(records.ChunkRequest(role="frames", index=number))


def load() -> Handler:
    return handle


def handle(context: Context, task: Task) -> Result:
    labels = task.job.request.labels
    match labels["do"]:
        case "fill":
            fill(context, labels["how"])
        case "report a full disk":
            if Path(os.environ["TRIAL_FULL"]).exists():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        case "flood records":
            flood(context, labels["what"])
        case "record every frame":
            with context.span("frames") as span:
                for number in range(45_000):
                    span.event(f"frame {number}")
                    span.set(f"frame.{number}", number)
        case "read chunks":
            for path in context.chunks("frames"):
                path.read_bytes()
        case "join chunks":
            parts = []
            for path in context.chunks("frames"):
                parts.append(path.read_text())
                context.progress(len(parts), len(parts) + 1)
            return Result(metadata=Metadata(much=" ".join([*parts, task.job.outputs["audio"].attempt])))
        case "write a large file":
            (context.scratch / "large").write_bytes(b"x" * (2 * MIB))
        case "write a large array":
            np.ones(2 * MIB, np.uint8).tofile(context.scratch / "large")
        case "return much metadata":
            return Result(metadata=Metadata(much="x" * 900_000))
        case "make many files":
            files = {f"file_{number}": context.scratch / f"file-{number}" for number in range(1000)}
            for path in files.values():
                path.touch()
            return Result(metadata=Metadata(), files=files)
        case "write text":
            print("printed")
            sys.stdout.flush()
            os.write(2, b"native library\n\xff" + b"x" * 5000 + b"\n")
            logging.getLogger("library").warning("logged")
            warnings.warn("warned", stacklevel=1)
        case "write without end":
            os.write(2, b"again\n" * 10_000)
        case "die loudly":
            os.write(2, b"fatal error in the decoder\n")
            os.kill(os.getpid(), signal.SIGKILL)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            time.sleep(60)
        case "decode without end":
            with limit_cpu(0.1):
                while True:
                    pass
        case "decode":
            with limit_cpu(30):
                pass
            assert resource.getrlimit(resource.RLIMIT_CPU)[0] == resource.RLIM_INFINITY
        case "reject":
            raise Rejected(Code.NO_FACE, "The portrait shows no face.", field="portrait")
        case "fail":
            raise KeyError("a bug")
        case "wait":
            while True:
                context.progress(1, 2)
                time.sleep(0.01)
        case "send half a record":
            # Half of a length prefix, then silence, as a compromised worker might send.
            pipe = sys.argv[sys.argv.index("--pipe") + 1]
            os.write(int(pipe), b"\0\0")
            time.sleep(60)
        case "send a huge record":
            pipe = sys.argv[sys.argv.index("--pipe") + 1]
            os.write(int(pipe), struct.pack("!i", 1 << 30))
            time.sleep(60)
        case "upload" | "upload and fail" as do:
            for number in range(6):
                path = context.scratch / f"chunk-{number}"
                path.write_bytes(b"x")
                context.upload_chunk("frames", path, 1)
            if do == "upload and fail":
                raise KeyError("a bug")
        case "resume":
            if context.checkpoint is not None:
                return Result(metadata=Metadata(checkpoint=context.checkpoint.read_text()))
            for number in range(3):
                path = context.scratch / f"checkpoint-{number}"
                path.write_text(f"{number}")
                context.save_checkpoint(path, number)
                # As in a slow render, each is stored before the next one is written.
                while path.exists():
                    time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        case "sign":
            return Result(metadata=Metadata(much=context.sign(b"a claim").hex()))
        case "sign twice":
            context.sign(b"a claim")
            context.sign(b"a claim")
        case "save nothing":
            context.save_checkpoint(context.scratch / "checkpoint", 1)
        case "save a link":
            path = context.scratch / "checkpoint"
            path.symlink_to("/proc/self/environ")
            context.save_checkpoint(path, 1)
    names = json.loads(json.dumps(sorted(os.environ)))
    return Result(metadata=Metadata(environment=names, pid=os.getpid()))
