"""A handler that tries to escape: the label ``do`` is a number of `attempts`, ``where`` the thread that tries it."""

import ctypes
import os
import resource
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import cv2
import numpy as np
import onnxruntime
from pydantic import BaseModel

from shared.slot.api import Context, Handler, Result, Task
from tests.confinement.attempts import ATTEMPTS

MODEL = Path(__file__).resolve().parents[2] / "stages" / "audio" / "weights" / "speech_activity.onnx"


class Metadata(BaseModel):
    evidence: str = ""
    denied: str = ""
    details: dict[str, str] = {}


class OlderThread:
    """A thread that runs since before the system calls were restricted."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._done: SimpleQueue[None] = SimpleQueue()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._asked.get()()
            self._done.put(None)

    def call(self, run: Callable[[], None]) -> None:
        self._asked.put(run)
        self._done.get(timeout=30)


def in_new_thread(run: Callable[[], None]) -> None:
    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)


def in_native_thread(run: Callable[[], None]) -> None:
    """In a thread that the C library starts, as those of media libraries."""
    libc, thread = ctypes.CDLL(None), ctypes.c_ulong()
    body = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(lambda _: run())
    assert libc.pthread_create(ctypes.byref(thread), None, body, None) == 0
    libc.pthread_join(thread, None)


def load() -> Handler:
    cv2.setNumThreads(3)
    cv2.resize(np.zeros((2000, 2000, 3), np.uint8), (777, 777))  # Starts its pool.
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 3
    session = onnxruntime.InferenceSession(MODEL, options)
    older = OlderThread()
    threads = {"older": older.call, "new": in_new_thread, "native": in_native_thread}

    def handle(context: Context, task: Task) -> Result:
        labels = task.job.request.labels
        os.environ["ESCAPE_WORK"] = str(context.scratch)
        os.environ["ESCAPE_INPUT"] = str(task.inputs["portrait"])
        if labels["do"] == "describe":
            return Result(metadata=Metadata(details=described()))
        found = Metadata()

        def run() -> None:
            try:
                found.evidence = ATTEMPTS[int(labels["do"])].run() or "done"
            except OSError as e:
                found.denied = f"{type(e).__name__}: {e}"

        threads[labels["where"]](run) if "where" in labels else run()
        return Result(metadata=found)

    handle.keep = session  # type: ignore[attr-defined]
    return handle


def described() -> dict[str, str]:
    """What the kernel says of every thread, the open descriptors, and the environment."""
    states = []
    for thread in Path("/proc/self/task").iterdir():
        fields = dict(line.split(":", 1) for line in (thread / "status").read_text().splitlines())
        states.append((fields["Seccomp"].strip(), fields["NoNewPrivs"].strip()))
    links = []
    for entry in sorted(Path("/proc/self/fd").iterdir()):
        try:
            links.append(str(entry.readlink()).partition(":")[0])
        except OSError:
            continue  # The descriptor of the listing.
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (1000, hard))
    limited = resource.getrlimit(resource.RLIMIT_CPU)[0]
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
    return {
        "cpu_limit": str(limited),
        "threads": str(len(states)),
        "states": str(sorted(set(states))),
        "descriptors": " ".join(links),
        "environment": " ".join(sorted(os.environ)),
        "temporary": os.environ["TMPDIR"],
    }
