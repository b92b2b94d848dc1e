"""Metrics of submissions, for a program that lives longer than one of them and serves its metrics itself."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.client.errors import Unreachable
from shared.client.submitted import Submission
from shared.telemetry import metrics


@contextmanager
def measured_submission() -> Iterator[Callable[[Submission], Submission]]:
    """Count the submission that the block makes, with its result; the block passes it through the given function."""
    start, result = time.monotonic(), "refused"

    def measured(submission: Submission) -> Submission:
        nonlocal result
        result = "duplicate" if submission.is_repeat else "sent"
        return submission

    try:
        yield measured
    except Unreachable:
        result = "unreachable"
        raise
    finally:
        metrics.CLIENT_SUBMISSIONS.labels(result).inc()
        metrics.CLIENT_SUBMISSION_SECONDS.observe(time.monotonic() - start)
