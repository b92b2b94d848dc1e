"""Runs a service as `python -m shared.runtime` does, after the changes that a chaos row asks for.

CHAOS_BREAK names a break of `mutations`; CHAOS_CLOCK_S is added to this process's wall clock.
"""

import os
import sys
import time

from shared.local.pdeathsig_launcher import set_pdeathsig


def shift_clock(seconds: float) -> None:
    """Add ``seconds`` to what Python's clock shows; monotonic time stays."""
    wall, wall_ns = time.time, time.time_ns
    time.time = lambda: wall() + seconds
    time.time_ns = lambda: wall_ns() + int(seconds * 1_000_000_000)


def main() -> int:
    """Serve until SIGTERM; returns the exit status."""
    set_pdeathsig(os.getppid())
    if offset := os.environ.get("CHAOS_CLOCK_S"):
        shift_clock(float(offset))
    from shared.runtime.__main__ import main as serve

    if name := os.environ.get("CHAOS_BREAK"):
        from tests.chaos import mutations

        mutations.BREAKS[name].apply()
    return serve()


if __name__ == "__main__":
    sys.exit(main())
