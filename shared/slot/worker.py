"""The worker process of a slot: loads the handler once, gives up what tasks don't need, then runs one at a time.

Started as ``python -m shared.slot.worker`` with the pipe's descriptor; holds no credentials and needs no network.
"""

import argparse
import importlib
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel

from shared.messages.codes import Rejected
from shared.messages.engines import ENGINES
from shared.slot import limits, records
from shared.slot.api import Cancelled, Handler, Task, Unavailable
from shared.slot.confinement.confine import Confinement, Mode, confinement, level
from shared.slot.context import PipeContext
from shared.slot.disk import at_file_limit, disk_full

with suppress(ImportError, RuntimeError, OSError):  # What is missing is reported later.
    # It looks for the system's library by a program, which a confined process can't run.
    import pyseccomp  # noqa: F401

MAX_STACK_CHARACTERS = 8000
PRELOADED: dict[str, Handler] = {}
"""Handlers by module that were loaded before this process was forked: by shared.slot.template."""


def run_task(pipe: Connection, handler: Handler, work: records.Work) -> records.WorkResult:
    """Run the handler on one task; its result or exception becomes a record."""
    inputs = {role: Path(path) for role, path in work.inputs.items()}
    task = Task(job=work.job, inputs=inputs, codecs=work.codecs, marking=work.marking)
    checkpoint = Path(work.checkpoint) if work.checkpoint else None
    context = PipeContext(pipe, task, Path(work.scratch), work.chunk_counts, checkpoint)
    cpu_start = time.process_time()
    try:
        result = handler(context, task)
    except Cancelled:
        return records.CancelledTask()
    except Rejected as e:
        # A handler may mistake a failed write of its own for an unreadable input.
        if disk_full(e) and not at_file_limit(context.scratch):
            return records.DiskFull()
        return records.Refused(code=e.code, message=e.message, field=e.field, allowed=e.allowed)
    except (OSError, EOFError) as e:
        if pipe.closed or isinstance(e, EOFError | BrokenPipeError):
            raise
        return _failure(e, context.scratch)
    except Exception as e:  # noqa: BLE001 - every exception of a handler must reach the parent process as a record
        return _failure(e, context.scratch)
    files = {role: str(path) for role, path in result.files.items()}
    cpu_seconds = time.process_time() - cpu_start
    return records.Finished(files=files, metadata=result.metadata.model_dump(mode="json"), cpu_seconds=cpu_seconds)


def _failure(e: Exception, scratch: Path) -> records.HandlerFailed | records.DiskFull:
    if disk_full(e) and not at_file_limit(scratch):
        return records.DiskFull()
    stack = "".join(traceback.format_exception(e))[-MAX_STACK_CHARACTERS:]
    return records.HandlerFailed(exception=type(e).__name__, message=str(e)[:1000], stack=stack)


class _LoadLogHandler(logging.Handler):
    """Sends log lines over the pipe while a handler loads; later, another thread could write to the pipe as well."""

    def __init__(self, send: Callable[[BaseModel], None]) -> None:
        super().__init__(logging.INFO)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        level: Literal["info", "warning", "error"] = "info"
        if record.levelno >= logging.WARNING:
            level = "error" if record.levelno >= logging.ERROR else "warning"
        self._send(records.Log(level=level, event=record.getMessage()[:4000], fields=getattr(record, "fields", {})))


@contextmanager
def _forward_logs(send: Callable[[BaseModel], None]) -> Iterator[None]:
    logger, handler = logging.getLogger("stages"), _LoadLogHandler(send)
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def missing_package(error: ModuleNotFoundError, handler_module: str) -> str | None:
    """What to install for a library that is not there; None for a module of this project, whose absence is a bug."""
    name = (error.name or "").partition(".")[0]
    if name in ("", "shared", "stages"):
        return None
    stage = handler_module.split(".")[1]
    extra = next((engine for engine, registered in ENGINES.items() if name in registered.modules), stage)
    return f"missing the Python package {name}: pip install 'lipstage[{extra}]'"


def serve(pipe: Connection, handler_module: str, own: Confinement, required: bool = False) -> None:
    """Load the handler, confine this process, send Ready, run tasks until the parent process closes the pipe.

    ``required``: run no task, and send NotLoaded, unless the confinement is full.
    """

    def send(record: BaseModel) -> None:
        pipe.send_bytes(record.model_dump_json().encode())

    start = time.monotonic()
    try:
        with _forward_logs(send):
            preloaded = PRELOADED.get(handler_module)
            handler: Handler = preloaded or importlib.import_module(handler_module).load()
    except Unavailable as e:
        send(records.NotLoaded(reason=str(e)[:4000]))
        return
    except ModuleNotFoundError as e:
        if (reason := missing_package(e, handler_module)) is None:
            raise
        send(records.NotLoaded(reason=reason))
        return
    own.after_load()
    if required and level(own.missing) != "full":
        send(
            records.NotLoaded(reason=f"LIPSTAGE_CONFINEMENT is required, and missing: {'; '.join(own.missing)}"[:4000])
        )
        return
    send(records.Ready(load_seconds=time.monotonic() - start, unconfined=own.missing))
    while True:
        try:
            message = records.TO_WORKER.validate_json(pipe.recv_bytes())
        except EOFError:
            return
        if isinstance(message, records.Work):
            send(run_task(pipe, handler, message))
        # Other records belong to a task that has already ended: a late ChunkUploaded, a late Cancel.


def main(arguments: list[str] | None = None) -> None:
    """Entry point; shared.runtime.execute.worker_process passes the arguments."""
    parser = argparse.ArgumentParser(prog="shared.slot.worker")
    parser.add_argument("--pipe", type=int, required=True, help="descriptor of the pipe")
    parser.add_argument("--parent", type=int, required=True, help="pid of the parent")
    parser.add_argument("--handler", required=True, help="module with load()")
    parser.add_argument("--memory-mb", type=int, default=0, help="RLIMIT_AS; 0: none")
    parser.add_argument("--file-mb", type=int, required=True, help="RLIMIT_FSIZE")
    parser.add_argument("--folder", type=Path, required=True, help="its own folder")
    parser.add_argument("--confinement", choices=get_args(Mode), default="auto", help="as LIPSTAGE_CONFINEMENT")
    parser.add_argument("--accelerator", action="store_true", help="the handler uses one")
    parser.add_argument("--read", type=Path, action="append", default=[], help="what it reads beside its packages")
    options = parser.parse_args(arguments)
    limits.die_with_parent(options.parent)
    limits.no_core_dumps()
    if options.memory_mb:
        limits.limit_memory(options.memory_mb)
    limits.limit_files(options.file_mb)
    # Ctrl-C reaches the whole process group; the parent decides when a worker ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    own = confinement(options.confinement, options.accelerator)
    own.before_load(options.folder, options.handler, options.read)
    try:
        serve(Connection(options.pipe), options.handler, own, options.confinement == "required")
    except (BrokenPipeError, EOFError, ConnectionResetError):
        os._exit(1)  # The parent process has ended.
    sys.exit(0)


if __name__ == "__main__":
    main()
