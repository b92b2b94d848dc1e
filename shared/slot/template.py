"""The template process of a slot: loads the handler once and forks worker processes, which so start in milliseconds.

Started as ``python -m shared.slot.template`` with one end of a Unix socket. It never opens user media and reads
nothing from a worker, so what it forks has nothing of an earlier task. It forks only while it has a single thread: a
fork copies no other thread, and the locks that one holds would stay locked for ever.
"""

import argparse
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from shared.slot import limits, worker

MAX_REQUEST_BYTES = 128 * 1024
"""Largest request: arguments and environment of a worker."""
DESCRIPTORS = 3
"""Of a request: the worker's pipe, its output, and where its exit status is written."""
SINGLE_THREAD = 1


def threads() -> int:
    """How many threads this process has, those of native libraries included."""
    return len(list(Path("/proc/self/task").iterdir()))


class Template:
    """Forks a worker for each request on ``control``, and reports how each one ended."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._statuses: dict[int, int] = {}
        """Pid of a running worker -> descriptor that its exit status is written to."""
        self._child_ended, wakeup = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._wakeup = wakeup
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)

    def serve(self) -> None:
        """Fork and reap until the service closes its end."""
        waiting = select.poll()
        waiting.register(self._child_ended, select.POLLIN)
        waiting.register(self._control, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in waiting.poll()]
            if self._child_ended in ready:
                os.read(self._child_ended, 4096)
                self._reap()
            if self._control.fileno() in ready and not self._fork_one():
                return

    def _reap(self) -> None:
        while self._statuses:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            descriptor = self._statuses.pop(pid)
            with suppress(BrokenPipeError):  # The service has forgotten the worker.
                os.write(descriptor, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(descriptor)

    def _fork_one(self) -> bool:
        """Answer a request with the worker's pid and pidfd; False when the service has closed its end."""
        data, descriptors, _, _ = socket.recv_fds(self._control, MAX_REQUEST_BYTES, DESCRIPTORS)
        if not data:
            return False
        pipe, output, status = descriptors
        if threads() > SINGLE_THREAD:
            for descriptor in descriptors:
                os.close(descriptor)
            self._control.send(json.dumps({"refused": "the template process has several threads"}).encode())
            return True
        request, own = json.loads(data), os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_worker(own, request["arguments"], request["environment"], pipe, output, status)
        self._statuses[pid] = status
        os.close(pipe)
        os.close(output)
        pidfd = os.pidfd_open(pid)  # The pid is the worker's own until it is reaped, here.
        socket.send_fds(self._control, [json.dumps({"pid": pid}).encode()], [pidfd])
        os.close(pidfd)
        return True

    def _become_worker(
        self, template: int, arguments: list[str], environment: dict[str, str], pipe: int, output: int, status: int
    ) -> NoReturn:
        """In the forked process: leave everything of the template behind and run as a worker."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            for descriptor in (self._child_ended, self._wakeup, status, *self._statuses.values()):
                os.close(descriptor)
            for stream in (1, 2):
                os.dup2(output, stream)
            os.close(output)
            os.environ.clear()
            os.environ.update(environment)
            tempfile.tempdir = None
            for name, value in (("--pipe", pipe), ("--parent", template)):
                arguments[arguments.index(name) + 1] = str(value)
            sys.argv[1:] = arguments
            worker.main(arguments)
            code = 0
        except SystemExit as e:
            code = e.code if isinstance(e.code, int) else int(e.code is not None)
        except BaseException:  # noqa: BLE001 - the worker must never return into the template's loop
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def main() -> None:
    """Entry point; shared.runtime.execute.worker_template passes the arguments."""
    parser = argparse.ArgumentParser(prog="shared.slot.template")
    parser.add_argument("--control", type=int, required=True, help="descriptor of the socket")
    parser.add_argument("--parent", type=int, required=True, help="pid of the service")
    parser.add_argument("--handler", required=True, help="module with load()")
    options = parser.parse_args()
    limits.die_with_parent(options.parent)
    limits.no_core_dumps()
    limits.hide_from_workers()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with socket.socket(fileno=options.control) as control:
        worker.PRELOADED[options.handler] = importlib.import_module(options.handler).load()
        if (count := threads()) > SINGLE_THREAD:
            control.send(json.dumps({"refused": f"the handler starts {count - 1} threads while it loads"}).encode())
            return
        try:
            os.close(os.pidfd_open(os.getpid()))
        except OSError as e:  # An older kernel, or the filter of an older container runtime.
            control.send(json.dumps({"refused": f"pidfd_open: {e.strerror}"}).encode())
            return
        gc.collect()
        gc.freeze()  # The collector of a worker would write to all objects, and so copy the pages that it shares.
        control.send(json.dumps({"ready": True}).encode())
        Template(control).serve()


if __name__ == "__main__":
    main()
