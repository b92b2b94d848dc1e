"""Output of a worker is logged under the task that was running when it was written, and under none between tasks."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from shared.runtime.execute.worker_output import MAX_LINE, MAX_LINES, WorkerOutput
from tests.runtime.log_lines import Lines, captured

A, B = {"job": "A", "tenant": "first"}, {"job": "B", "tenant": "second"}


class Worker:
    """The writing end of a worker's output, and its reader."""

    def __init__(self, lines: Lines) -> None:
        reading, self._writing = os.pipe()
        self.lines = lines
        self.output = WorkerOutput(os.fdopen(reading, "rb"))

    def write(self, data: bytes) -> None:
        os.write(self._writing, data)

    def begin(self, fields: dict[str, str]) -> None:
        with structlog.contextvars.bound_contextvars(**fields):
            self.output.begin_task()

    def end(self) -> list[tuple[Any, ...]]:
        """End the worker; text or number of dropped lines, job and tenant of every line."""
        os.close(self._writing)
        self.output.finish(30)
        return [(n.get("text", n.get("lines")), n.get("job"), n.get("tenant")) for n in self.lines()]


@pytest.fixture
def worker() -> Iterator[Worker]:
    with captured("face") as lines:
        yield Worker(lines)


def test_output_of_an_idle_worker_names_no_job(worker: Worker) -> None:
    worker.begin(A)
    worker.write(b"of A\n")
    worker.output.end_task()
    worker.write(b"idle\n")
    worker.begin(B)
    worker.write(b"of B\n")
    worker.output.end_task()
    assert worker.end() == [("of A", "A", "first"), ("idle", None, None), ("of B", "B", "second")]


def test_unfinished_line_belongs_to_the_task_that_began_it(worker: Worker) -> None:
    worker.begin(A)
    worker.write(b"begun by A")
    worker.begin(B)
    worker.write(b" end\n")
    assert worker.end() == [("begun by A", "A", "first"), ("end", "B", "second")]


def test_progress_lines_and_long_lines_are_split(worker: Worker) -> None:
    worker.write(b"10 %\r20 %\r\n" + b"x " * MAX_LINE + b"\nlast words")
    texts = [text for text, *_ in worker.end()]
    assert [texts[0], texts[1], texts[-1]] == ["10 %", "20 %", "last words"]
    assert [len(text) for text in texts[2:-1]] == [MAX_LINE - 1] * 2


def test_endless_output_is_counted_per_task(worker: Worker) -> None:
    for fields in (A, B):
        worker.begin(fields)
        worker.write(b"again\n" * (MAX_LINES + 5))
    logged = worker.end()
    assert [line for line in logged if line[0] != "again"] == [(5, "A", "first"), (5, "B", "second")]
    assert len(logged) == 2 * MAX_LINES + 2


def test_forged_log_line_stays_the_text_of_one(worker: Worker) -> None:
    """A worker that has been taken over can't write a line of the service's: no field, no further line, no control
    character."""
    forged = b'{"event": "service_failed", "level": "error", "job": "B", "tenant": "second"}'
    worker.begin(A)
    worker.write(
        b'x", "event": "service_failed\n' + forged + b"\r\x1b[2K" + forged + b"\0\x85\xe2\x80\xa8" + forged + b"\n"
    )
    worker.end()
    lines = worker.lines()
    assert [(n["event"], n["level"], n["job"], n["tenant"]) for n in lines] == [
        ("worker_output", "warning", "A", "first")
    ] * 3
    assert lines[1]["text"] == forged.decode()
