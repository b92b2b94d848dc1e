"""Ends a service at once that receives a stop signal before it has ever held a partition.

Such a service has nothing to finish. But it may stand in a call of the Kafka client that waits for a broker which has
never answered, and Python runs no signal handler before that call returns: a pod would keep its node busy until the
platform kills it.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

GRACE_S = 1.0
"""How long the orderly end may take, seconds; with a broker that answers it takes less."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class EarlyExit:
    """Watches for the first signal in a thread of its own. Construct it in the main thread, which has handlers."""

    def __init__(
        self,
        stop: threading.Event,
        abandon: Callable[[], bool],
        log_end: Callable[[str], None],
        status: Callable[[], int],
    ) -> None:
        """``stop`` is set with the signal, also while the main thread can't run its handler. ``abandon``
        releases what would outlast the process and returns True, or False when it must end in order; ``log_end`` gets
        the reason why the process ends out of order; ``status`` returns the exit status."""
        self._stop = stop
        self._abandon = abandon
        self._log_end = log_end
        self._status = status
        self._ended = threading.Event()
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="early-exit", daemon=True).start()

    def close(self) -> None:
        """The service has ended by itself: the interpreter's own end follows, which may wait for the Kafka
        client as well. Only in the main thread."""
        self._ended.set()
        signal.set_wakeup_fd(-1)
        self._writer.close()

    def _watch(self) -> None:
        while number := self._reader.recv(1):
            if signal.Signals(number[0]) in SIGNALS:
                self._stop.set()
                break
        if not number:
            return
        until = time.monotonic() + GRACE_S
        ended = self._ended.wait(GRACE_S)
        if not self._abandon():
            return
        if ended:
            time.sleep(max(0.0, until - time.monotonic()))
        else:
            self._log_end("it had not joined its consumer group")
        sys.stdout.flush()
        os._exit(self._status())
