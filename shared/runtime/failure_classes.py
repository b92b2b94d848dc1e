"""The failure classes, one table: what the runtime does with a record that fails, and how an operator sees it.

`failures.classify` maps exceptions to classes, `attempt_policy` applies ``retried`` and ``breaker``, and
``python -m tools.failure_table`` writes the table into docs/delivery.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class FailureClass:
    """One row of the table."""

    name: str
    """Value of the header ``__dlq.errors.class`` and of ``FailureReason.failure_class``."""
    examples: str
    action: str
    events: tuple[str, ...]
    """Types of the events on ``render.events``, in order."""
    metric: str
    """Name of the metric, with its labels."""
    log: str
    """Event of the log line."""
    retried: bool = False
    """Whether the record gets further attempts by the retry topics before it becomes a dead letter."""
    breaker: Literal["counts", "own records", "neutral"] = "neutral"
    """Whether the circuit breaker counts it: ``own records`` counts only records that lipstage itself has written."""

    def counts(self, *, own_record: bool) -> bool:
        """Whether the circuit breaker counts a failure of a record; ``own_record``: lipstage has written it."""
        return self.breaker == "counts" or (self.breaker == "own records" and own_record)


_ROWS = (
    FailureClass(
        "rejected",
        "NO_FACE, INPUT_NOT_FOUND, INVALID_REQUEST: the request or an input can't be rendered",
        "The job ends at once. No retry, no dead letter.",
        ("rejected",),
        'lipstage_tasks_total{outcome="rejected"}',
        "task_settled",
    ),
    FailureClass(
        "expired",
        "`deadline_s` of the request has passed, by the broker's clock",
        "Checked at receive, before each attempt and while the worker process works, which then stops. The job ends. No"
        " dead letter.",
        ("failed",),
        'lipstage_tasks_total{outcome="expired"}',
        "task_settled",
    ),
    FailureClass(
        "cancelled",
        "`lipstage cancel`",
        "Checked as a deadline is. A worker process that does not stop within 10 s is killed. The job ends. No dead"
        " letter.",
        ("failed",),
        'lipstage_tasks_total{outcome="cancelled"}',
        "task_settled",
    ),
    FailureClass(
        "transient_fast",
        "an object store that restarts or throttles; a broker that does not know a new topic yet",
        "The operation is repeated in the process, with jitter, for `LIPSTAGE_STORE_RETRY_TIMEOUT_S` (20 s). After long"
        " work it is repeated for as long as the attempt has worked. Then the failure is transient_slow.",
        ("waiting",),
        "lipstage_store_retries_total",
        "store_retry",
    ),
    FailureClass(
        "transient_slow",
        "STORE_UNAVAILABLE; OUT_OF_MEMORY of an accelerator that others use, too; ENGINE_UNAVAILABLE: the engine's"
        " topic is missing",
        "The record waits on the retry topic of the next tier. After `LIPSTAGE_MAX_ATTEMPTS` attempts: dead letter. An"
        " outage of the whole object store uses no attempt.",
        ("retrying", "failed"),
        'lipstage_tasks_total{outcome="retry"}',
        "task_retried",
        retried=True,
        breaker="counts",
    ),
    FailureClass(
        "refused",
        "ARTIFACT_REFUSED, OUTPUT_REFUSED, NO_SPACE: this job alone can't be served; a policy, a key, a disk that is"
        " too small",
        "Dead letter at once: only an operator can change it.",
        ("failed",),
        "lipstage_dead_letters_total",
        "dead_letter",
    ),
    FailureClass(
        "poison",
        "POISON: the record can't be read as a task; ARTIFACT_MISSING, ARTIFACT_ALTERED",
        "Dead letter at once. The circuit breaker counts it only for a record that lipstage has written: then two"
        " versions do not fit together.",
        ("failed",),
        "lipstage_dead_letters_total",
        "dead_letter",
        breaker="own records",
    ),
    FailureClass(
        "crash_loop",
        "CRASH_LOOP: the worker process or the whole service died or hung `LIPSTAGE_MAX_CRASHES` times on this record",
        "Each death counts in the partition's commit metadata, which survives a SIGKILL. The next attempt starts at"
        " once. After the last death: dead letter.",
        ("failed",),
        "lipstage_dead_letters_total",
        "dead_letter",
        breaker="counts",
    ),
    FailureClass(
        "failed",
        "INTERNAL: any other exception, of a handler or of the runtime",
        "One further attempt at once in the process, then the retry topics. After `LIPSTAGE_MAX_ATTEMPTS` attempts:"
        " dead letter.",
        ("retrying", "failed"),
        'lipstage_tasks_total{outcome="retry"}',
        "task_retried",
        retried=True,
        breaker="counts",
    ),
)

CLASSES: Mapping[str, FailureClass] = {row.name: row for row in _ROWS}
"""The classes by name."""
IN_PROCESS = "transient_fast"
"""The class that never becomes an outcome: its failures end in the process, or become transient_slow."""
