"""Work on a few threads, of which work with one key gets a share: a slow endpoint holds back itself alone."""

import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor

Work = Callable[[], None]


class KeyedPool:
    """Runs work in threads. Thread-safe."""

    def __init__(self, threads: int, per_key: int, waiting_per_key: int) -> None:
        """At most ``per_key`` works of one key run at a time, and ``waiting_per_key`` more of them wait."""
        self._per_key = per_key
        self._waiting_per_key = waiting_per_key
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="webhook")
        self._lock = threading.Lock()
        self._running: dict[Hashable, int] = {}
        self._waiting: dict[Hashable, deque[Work]] = {}

    def submit(self, key: Hashable, work: Work) -> bool:
        """Run the work, which must not raise, as soon as threads and the key's share allow; False when too much of this
        key waits."""
        with self._lock:
            running = self._running.get(key, 0)
            if running >= self._per_key:
                waiting = self._waiting.setdefault(key, deque())
                if len(waiting) >= self._waiting_per_key:
                    return False
                waiting.append(work)
                return True
            self._running[key] = running + 1
        self._executor.submit(self._run, key, work)
        return True

    def close(self) -> None:
        """Wait for what runs; what waits is not started."""
        with self._lock:
            self._waiting.clear()
        self._executor.shutdown(cancel_futures=True)

    def _run(self, key: Hashable, work: Work) -> None:
        try:
            work()
        finally:
            with self._lock:
                waiting = self._waiting.get(key)
                following = waiting.popleft() if waiting else None
                if not waiting:
                    self._waiting.pop(key, None)
                if following is None:
                    self._running[key] -= 1
                    if not self._running[key]:
                        del self._running[key]
            if following is not None:
                # At the end of the queue: works of other keys wait there.
                self._executor.submit(self._run, key, following)
