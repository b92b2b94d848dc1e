"""The circuit breaker of a stage: when jobs fail for a reason that is not theirs, the stage pauses and probes.

Without it a bad deployment would move a whole topic to the retry topics, and then to the dead letters.
"""

import time
from collections import deque
from collections.abc import Callable
from enum import Enum
from threading import Lock

import structlog

from shared.telemetry import metrics

CONSECUTIVE = 8
"""So many failures without a success in between open the breaker."""
LAST = 20
MOST = LAST // 2
"""More than ``MOST`` failures among the ``LAST`` outcomes open it, too."""
FIRST_PAUSE_S = 30.0
LONGEST_PAUSE_S = 300.0
"""Time from the opening to the first probe; it doubles with each probe that fails, up to the longest."""

log = structlog.get_logger()


class State(Enum):
    """Closed: records are processed. Open: none is started. Half-open: one at a time is, as a probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class CircuitBreaker:
    """The breaker of one stage service, shared by its slots. Thread-safe.

    It counts outcomes, one for each job: a newer failure of a job replaces its older one, so that a few jobs that are
    retried again and again do not pause the others. A success closes it from any state.
    """

    def __init__(self, stage: str, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` returns seconds that never go back."""
        self._stage = stage
        self._clock = clock
        self._lock = Lock()
        self._state = State.CLOSED
        self._outcomes: deque[str | None] = deque(maxlen=LAST)
        """The last outcomes, the oldest first: the job of a failure, None for a success."""
        self._code = ""
        self._pause_s = FIRST_PAUSE_S
        self._probe_at = 0.0
        metrics.BREAKER_OPEN.labels(stage).set(0)

    @property
    def state(self) -> State:
        """The current state."""
        return self._state

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open or half-open: failures that it counts are then not the job's."""
        return self._state is not State.CLOSED

    def may_start(self, running: int) -> bool:
        """Whether a record may be started while ``running`` others run.

        After True the caller starts one. A probe that ends without a countable outcome, as a cancelled job does, leaves
        the breaker half-open, and the next record is a probe at once.
        """
        with self._lock:
            if self._state is State.CLOSED:
                return True
            if running or (self._state is State.OPEN and self._clock() < self._probe_at):
                return False
            self._state = State.HALF_OPEN
        log.warning("circuit_breaker_probe", stage=self._stage)
        return True

    def failed(self, job: str, code: str) -> None:
        """Count a failure with the public ``code`` that is not the fault of ``job``, any id."""
        with self._lock:
            self._code = code
            if job in self._outcomes:
                self._outcomes.remove(job)
            self._outcomes.append(job)
            probed = self._state is State.HALF_OPEN
            if not probed and (self._state is State.OPEN or not self._too_many()):
                return
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S) if probed else FIRST_PAUSE_S
            self._state = State.OPEN
            self._probe_at = self._clock() + self._pause_s
            failures = sum(outcome is not None for outcome in self._outcomes)
        metrics.BREAKER_OPEN.labels(self._stage).set(1)
        if not probed:
            metrics.BREAKER_OPENINGS.labels(self._stage).inc()
        log.error(
            "circuit_breaker_opened",
            stage=self._stage,
            code=code,
            failures=failures,
            probe_failed=probed,
            next_probe_s=self._pause_s,
        )

    def succeeded(self) -> None:
        """Count a success."""
        with self._lock:
            closes = self._state is not State.CLOSED
            if closes:
                self._state = State.CLOSED
                self._outcomes.clear()
            self._outcomes.append(None)
        if closes:
            metrics.BREAKER_OPEN.labels(self._stage).set(0)
            log.warning("circuit_breaker_closed", stage=self._stage)

    @property
    def reason(self) -> str | None:
        """Why the stage does not process records, for an operator; None while the breaker is closed."""
        with self._lock:
            if self._state is State.CLOSED:
                return None
            failures = sum(outcome is not None for outcome in self._outcomes)
            wait_s = max(0.0, self._probe_at - self._clock())
            probe = f"next probe in {wait_s:.0f} s" if self._state is State.OPEN and wait_s else "a probe runs next"
            return f"circuit breaker open: {failures} jobs failed, the last with {self._code}; {probe}"

    def _too_many(self) -> bool:
        consecutive = 0
        for outcome in reversed(self._outcomes):
            if outcome is None:
                break
            consecutive += 1
        return consecutive >= CONSECUTIVE or sum(outcome is not None for outcome in self._outcomes) > MOST
