"""The service's side of a template process, which forks a slot's workers (`shared.slot.template`)."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

import structlog

from shared.runtime.execute.worker_launch import Process
from shared.runtime.execute.worker_output import WorkerOutput

FORK_TIMEOUT_S = 10.0
"""Limit for a fork, seconds; a template that does not answer is killed, and the worker started as a program."""
STATUS_TIMEOUT_S = 1.0
"""How long an exit status is waited for once the worker has ended, seconds: the template writes it when it reaps."""
MAX_ANSWER_BYTES = 4096

log = structlog.get_logger()


class ForkedProcess:
    """A worker that a template has forked, in the form of `subprocess.Popen`; any thread.

    Its end is seen, and it is killed, by its pidfd; the exit status comes from the template, whose child it is.
    """

    def __init__(self, pid: int, pidfd: int, status: int, stdout: IO[bytes]) -> None:
        """``status`` is the descriptor that the exit status is read from."""
        self.pid = pid
        self.returncode: int | None = None
        self.stdout: IO[bytes] | None = stdout
        self._pidfd = pidfd
        self._status = status
        self._reading = threading.Lock()
        weakref.finalize(self, _close, pidfd, status)

    def poll(self) -> int | None:
        """The exit status; None while the process runs."""
        return self._read_status() if self.returncode is None and _readable(self._pidfd, 0) else self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; returns the exit status. Raises subprocess.TimeoutExpired."""
        if self.returncode is None and not _readable(self._pidfd, timeout):
            raise subprocess.TimeoutExpired(f"worker {self.pid}", timeout or 0)
        return self._read_status()

    def kill(self) -> None:
        """Kill the process, if it still runs."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _read_status(self) -> int:
        """The status of an ended process; that of SIGKILL where the template has ended, as the kernel then sends it."""
        with self._reading:
            if self.returncode is None:
                status = os.read(self._status, 16) if _readable(self._status, STATUS_TIMEOUT_S) else b""
                self.returncode = int(status or -signal.SIGKILL)
            return self.returncode


def _readable(descriptor: int, timeout: float | None) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if timeout is None else 1000 * timeout))


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


class WorkerTemplate:
    """The template process of one slot; it is started when the first worker is asked for.

    ``fork`` is called in one thread, which must live as long as the workers are needed: the kernel kills the template
    with the thread that started it, and the workers with the template. ``kill`` may be called in any thread.
    """

    def __init__(self, handler: str, load_timeout_s: float) -> None:
        """``handler`` is the module whose ``load()`` the template calls, within ``load_timeout_s`` seconds."""
        self._handler = handler
        self._load_timeout_s = load_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._unsuitable = False

    @property
    def pid(self) -> int | None:
        """Process id; None when the template does not run."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def fork(self, arguments: Sequence[str], environment: Mapping[str, str], pipe: int) -> Process | None:
        """A worker with these arguments, environment and end of its pipe.

        None when it must be started as a program: the template can't load the handler, or has ended, which the next
        call tries again; or the handler starts threads while it loads.
        """
        if self._unsuitable or (self.pid is None and not self._start(environment)):
            return None
        assert self._control is not None
        (output, output_end), (status, status_end) = os.pipe(), os.pipe()
        answer, received = {}, list[int]()
        try:
            request = json.dumps({"arguments": [*arguments], "environment": {**environment}}).encode()
            socket.send_fds(self._control, [request], [pipe, output_end, status_end])
            data, received, _, _ = socket.recv_fds(self._control, MAX_ANSWER_BYTES, 1)
            answer = json.loads(data or b"{}")
        except OSError as e:  # TimeoutError is one, too.
            log.warning("worker_template_failed", error=type(e).__name__, text=str(e))
        finally:
            _close(output_end, status_end)
        if "pid" not in answer or not received:
            _close(output, status, *received)
            self._give_up(answer.get("refused"))
            return None
        return ForkedProcess(answer["pid"], received[0], status, os.fdopen(output, "rb"))

    def kill(self) -> None:
        """Kill the template, and so all its workers; any thread."""
        process = self._process
        if process is not None:
            process.kill()
            process.wait()

    def _start(self, environment: Mapping[str, str]) -> bool:
        """Start the template; whether it has loaded the handler and can fork."""
        self._end()
        self._control, control_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-P", "-m", "shared.slot.template", "--control", str(control_end.fileno())]
        self._process = subprocess.Popen(
            [*command, "--parent", str(os.getpid()), "--handler", self._handler],
            pass_fds=[control_end.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        control_end.close()
        assert self._process.stdout is not None
        WorkerOutput(self._process.stdout).end_task()
        self._control.settimeout(self._load_timeout_s)
        answer = {}
        with suppress(OSError):
            answer = json.loads(self._control.recv(MAX_ANSWER_BYTES) or b"{}")
        self._control.settimeout(FORK_TIMEOUT_S)
        if "ready" not in answer:
            self._give_up(answer.get("refused"))
        return "ready" in answer

    def _give_up(self, refusal: str | None) -> None:
        """End a template that does not fork; for good, when it says why it never will."""
        self._unsuitable = refusal is not None
        log.warning("worker_template_unavailable", reason=refusal or "it has ended, or did not answer")
        self._end()

    def _end(self) -> None:
        self.kill()
        if self._control is not None:
            self._control.close()
            self._control = None
