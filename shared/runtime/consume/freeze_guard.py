"""Keeps a process that was frozen from publishing for partitions that it has lost meanwhile.

A stopped container, a suspended machine or heavy swapping freezes all threads. When they continue, a slot whose task is
due runs at once, but the client needs a moment to learn that the group has excluded this member: measured, a zombie
published its task 2 ms before it knew. So after a freeze slots wait until the broker has accepted a commit of this
member, or the partition is lost.
"""

import threading
import time
from collections.abc import Callable

LIMIT_S = 2.0
"""Silence of the consumer loop that counts as a freeze, seconds. The shortest session that a broker accepts by default
is three times as long; a loop that was only slow costs one commit."""
CHECK_S = 0.05


def clock_of_freezes() -> float:
    """Seconds since the machine started. Unlike ``time.monotonic`` it goes on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class FreezeGuard:
    """Whether the process ran without a gap since the group last confirmed its membership. Thread-safe."""

    def __init__(self, limit_s: float = LIMIT_S, clock: Callable[[], float] = clock_of_freezes) -> None:
        """``clock`` returns seconds, and goes on while the process is frozen."""
        self._limit_s = limit_s
        self._clock = clock
        self._stepped_at = clock()
        self._doubtful = False
        self._changed = threading.Condition()

    def step(self) -> bool:
        """The consumer loop runs. True: the group must confirm the membership by a commit, see ``confirmed``."""
        with self._changed:
            now = self._clock()
            self._doubtful = self._doubtful or now - self._stepped_at > self._limit_s
            self._stepped_at = now
            return self._doubtful

    def confirmed(self) -> None:
        """The broker has accepted a commit that was made after the last ``step``."""
        with self._changed:
            # Not when the process froze between the broker's answer and here.
            if self._clock() - self._stepped_at <= self._limit_s:
                self._doubtful = False
                self._changed.notify_all()

    def passes(self, held: Callable[[], bool]) -> bool:
        """Whether a slot may publish for its partition, of which ``held`` tells whether it is known to be lost. Waits
        while the membership is in doubt."""
        with self._changed:
            while held():
                if not self._doubtful and self._clock() - self._stepped_at <= self._limit_s:
                    return True
                self._changed.wait(CHECK_S)
            return False
