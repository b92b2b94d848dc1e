"""Runs one stage's handler on one file: in a confined worker process, as the stage's service does. Nothing is kept."""

import queue
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from pydantic import JsonValue

from shared.client.job_spec import new_job_id
from shared.messages.codes import Code, Rejected
from shared.messages.pipeline import step
from shared.messages.refs import InputRef
from shared.messages.request import Params, RenderRequest
from shared.messages.task import RenderTask
from shared.runtime.execute.removal import remove_folder
from shared.runtime.execute.slot_worker import SlotWorker
from shared.runtime.execute.worker_process import WorkerProcess
from shared.runtime.failures import HandlerUnavailable, WorkerDied
from shared.slot import records
from shared.slot.confinement.confine import Mode
from shared.slot.spec import StageSpec

DEADLINE_S = 20.0
"""A check that takes longer is ended, seconds: a person waits for it."""
MAX_WAITING = 8
"""Checks that wait for their turn; a further one is refused."""


class CheckUnavailable(Exception):
    """No check is possible here; the text says why."""


class TooManyChecks(Exception):
    """As many checks wait as may."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What the stage found: its metadata and its warnings."""

    metadata: Mapping[str, JsonValue]
    warnings: tuple[tuple[Code, str], ...]


@dataclass(frozen=True, slots=True)
class _Question:
    tenant: str
    file: Path
    params: Params
    answer: "Future[Checked]"


class Checker:
    """Checks the files of one role, one after the other. A file of another tenant gets a process of its own."""

    def __init__(self, stage: str, role: str, scratch: Path, confinement: Mode) -> None:
        """``role`` is the stage's input: ``portrait`` or ``speech``. Nothing is started before the first check.

        Raises CheckUnavailable where the stage is not installed.
        """
        try:
            spec = cast("StageSpec", import_module(step(stage).module).STAGE)
        except ModuleNotFoundError as e:
            raise CheckUnavailable(f"the {stage} stage is not installed beside the gateway: {e.name}") from None
        self._role = role
        self._stage = stage
        make = partial(WorkerProcess, spec, "", scratch=scratch, confinement=confinement)
        self._make_worker = partial(SlotWorker, stage, spec.handler, make)
        self._questions: queue.Queue[_Question | None] = queue.Queue(MAX_WAITING)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def check(self, tenant: str, file: Path, params: Params) -> Checked:
        """What the stage says of the file; blocks.

        Raises Rejected as the stage would, TooManyChecks, CheckUnavailable when the worker can't be started or died.
        """
        question = _Question(tenant, file, params, Future())
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"check-{self._stage}", daemon=True)
                self._thread.start()
        try:
            self._questions.put_nowait(question)
        except queue.Full:
            raise TooManyChecks(f"{MAX_WAITING} checks of a {self._role} wait already") from None
        return question.answer.result()

    def close(self) -> None:
        """End the worker; waits for the check that runs."""
        if self._thread is not None:
            self._questions.put(None)
            self._thread.join()

    def _work(self) -> None:
        # In one thread: the kernel ends a worker with the thread that uses it.
        worker = self._make_worker()
        try:
            while (question := self._questions.get()) is not None:
                try:
                    question.answer.set_result(self._run(worker, question))
                except (WorkerDied, HandlerUnavailable, OSError) as e:
                    question.answer.set_exception(CheckUnavailable(f"the check has failed: {e}"))
                except BaseException as e:  # noqa: BLE001 - whoever waits for the answer raises it
                    question.answer.set_exception(e)
        finally:
            worker.stop()

    def _run(self, worker: SlotWorker, question: _Question) -> Checked:
        worker.prepare(question.tenant)
        folder = worker.folder
        assert folder is not None
        task_id = new_job_id()
        source, scratch = folder.inputs / task_id, folder.work / task_id
        scratch.mkdir()
        question.file.replace(source)
        warnings: list[tuple[Code, str]] = []

        def on_record(record: records.FromWorker) -> None:
            if isinstance(record, records.Warned):
                warnings.append((record.code, record.message))

        try:
            work = records.Work(job=_task(task_id, question), inputs={self._role: str(source)}, scratch=str(scratch))
            result = worker.run(work, on_record, lambda: False, DEADLINE_S)
        finally:
            source.unlink(missing_ok=True)
            if (present := worker.folder) is not None and worker.pid is not None:
                remove_folder(present.work / task_id)
        if isinstance(result, records.Finished):
            return Checked(result.metadata, tuple(warnings))
        if isinstance(result, records.Refused):
            raise Rejected(result.code, result.message, field=result.field, allowed=result.allowed)
        raise CheckUnavailable(f"the check has failed: {type(result).__name__}")


def _task(task_id: str, question: _Question) -> RenderTask:
    """The task of a job that does not exist."""
    pending = InputRef(key=f"{question.tenant}/pending")
    fields: dict[str, Any] = {"tenant": question.tenant, "params": question.params}
    request = RenderRequest(portrait=pending, speech=pending, **fields)
    return RenderTask(job_id=task_id, request_id=task_id, request=request, submitted_ms=time.time_ns() // 1_000_000)
