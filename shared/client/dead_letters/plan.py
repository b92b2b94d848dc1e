"""What a replay does with each dead letter, and why it leaves some alone."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from shared import __version__
from shared.client.dead_letters.dead_letter import DeadLetter
from shared.client.dead_letters.resending import last_failure, previous_failure
from shared.client.dead_letters.rewriting import Rewritten
from shared.client.dead_letters.states import CANCELLED, DONE, EXPIRED, PURGED, REJECTED
from shared.messages.codes import Code
from shared.messages.identity import BestEffortIdentity

MAX_REPLAYS = 3
"""A record that failed after so many replays is parked."""
PERMANENT = frozenset({Code.POISON, Code.INTERNAL, Code.ARTIFACT_ALTERED})
"""Failures that the record and the program decide: the same record fails again until one of them changes. All others
may have been repaired outside: an object store, a disk, a policy, a machine."""
SHOWN = 10
"""Diffs and problems that a plan shows."""


class Verdict(StrEnum):
    """What becomes of a dead letter; the values are names in JSON."""

    SEND = "send"
    PARK = "park"
    REPLAYED = "replayed_already"
    PARKED = "parked_already"
    DISCARDED = "discarded"
    SKIPPED = "left_out_by_transform"
    BEYOND_LIMIT = "beyond_limit"
    DONE = "job_done"
    CANCELLED = "job_cancelled"
    REJECTED = "job_rejected"
    PURGED = "job_purged"
    EXPIRED = "expired"
    SAME = "would_fail_the_same_way"
    BODY_MISSING = "body_missing"
    NO_TARGET = "no_target"
    WRONG_TARGET = "wrong_target"
    INVALID = "invalid_after_change"


ABOUT = {
    Verdict.SEND: "to send",
    Verdict.PARK: f"to park: they failed after {MAX_REPLAYS} replays",
    Verdict.REPLAYED: "replayed already",
    Verdict.PARKED: "parked",
    Verdict.DISCARDED: "discarded",
    Verdict.SKIPPED: "left out by the transform",
    Verdict.BEYOND_LIMIT: "beyond --limit",
    Verdict.DONE: "refused: the job is done",
    Verdict.CANCELLED: "refused: the job was cancelled",
    Verdict.REJECTED: "refused: the job was rejected",
    Verdict.PURGED: "refused: the job was purged",
    Verdict.EXPIRED: "refused: the deadline has passed (--extend-deadline)",
    Verdict.SAME: "refused: would fail the same way, code and version are unchanged (--force)",
    Verdict.BODY_MISSING: "refused: the value is missing",
    Verdict.NO_TARGET: "refused: no stage reads the topic it came from (--to)",
    Verdict.WRONG_TARGET: "refused: the topic of --to takes other records",
    Verdict.INVALID: "refused: not valid after the change",
}
REFUSED = frozenset(
    {
        *(Verdict.PARK, Verdict.DONE, Verdict.CANCELLED, Verdict.REJECTED, Verdict.PURGED, Verdict.EXPIRED),
        *(Verdict.SAME, Verdict.BODY_MISSING, Verdict.NO_TARGET, Verdict.WRONG_TARGET, Verdict.INVALID),
    }
)
"""Verdicts of a guard: the command's exit code says that there were some."""
ENDED = {DONE: Verdict.DONE, CANCELLED: Verdict.CANCELLED, REJECTED: Verdict.REJECTED, PURGED: Verdict.PURGED}
"""Ends of a job that its stages keep, whatever is replayed: nothing would be done."""
TOUCHED = {"replayed": Verdict.REPLAYED, "parked": Verdict.PARKED, "discarded": Verdict.DISCARDED}


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict on one dead letter."""

    dead: DeadLetter
    verdict: Verdict
    topic: str = ""
    """Where it goes, by the topic's full name."""
    replays: int = 0
    """Its replay count after this."""
    job: BestEffortIdentity | None = None
    value: bytes | None = None
    """The value of the failed record, wherever it lay."""
    new: Rewritten | None = None
    detail: str = ""

    @property
    def has_changed(self) -> bool:
        """Whether the record is sent with another value than it had."""
        return self.new is not None and self.new.changed


def would_fail_the_same_way(dead: DeadLetter) -> bool:
    """Whether nothing has changed since the failure: a permanent one, or one that a replay has repeated.

    A stage of this version reads the record.
    """
    if dead.version != __version__ or dead.code == Code.WEBHOOK_FAILED:  # The endpoint may work by now.
        return False
    return dead.code in PERMANENT or previous_failure(dead) == last_failure(dead)


def end_of_job(end: int) -> Verdict | None:
    """The verdict on a dead letter of a job that ended like this (a number of `states`); None when it may go on."""
    return ENDED.get(end)


def is_expired(end: int, deadline_ms: int | None, now_ms: int) -> bool:
    """Whether the job's deadline has passed, or ended it."""
    return (deadline_ms is not None and now_ms >= deadline_ms) or (deadline_ms is None and end == EXPIRED)


@dataclass
class Plan:
    """What a replay will do."""

    counts: Counter[Verdict] = field(default_factory=Counter)
    targets: Counter[str] = field(default_factory=Counter)
    """Records to send by topic."""
    changed: int = 0
    """Records to send with a changed value."""
    diffs: list[str] = field(default_factory=list)
    """Of the first changed records."""
    problems: list[str] = field(default_factory=list)
    """Why the first invalid records are refused."""
    unfinished: list[str] = field(default_factory=list)
    """Runs that have not ended: they still run, or were killed."""

    @property
    def to_send(self) -> int:
        """Records to send."""
        return self.counts[Verdict.SEND]

    @property
    def work(self) -> int:
        """Records to send or to park."""
        return self.counts[Verdict.SEND] + self.counts[Verdict.PARK]

    @property
    def refused(self) -> int:
        """Dead letters that a guard refuses."""
        return sum(number for verdict, number in self.counts.items() if verdict in REFUSED)

    def add(self, decision: Decision, diff: str | None) -> None:
        """Count a decision; ``diff`` is that of a changed record."""
        self.counts[decision.verdict] += 1
        if decision.verdict is Verdict.SEND:
            self.targets[decision.topic] += 1
            self.changed += decision.has_changed
            if diff and len(self.diffs) < SHOWN:
                self.diffs.append(diff)
        elif decision.detail and len(self.problems) < SHOWN:
            self.problems.append(f"{decision.dead.id}: {decision.detail}")

    def as_json(self) -> dict[str, Any]:
        """For scripts: stable names."""
        return {
            "dead_letters": sum(self.counts.values()),
            "to_send": self.to_send,
            "to_park": self.counts[Verdict.PARK],
            "refused": self.refused,
            "counts": {str(verdict): number for verdict, number in sorted(self.counts.items())},
            "targets": dict(sorted(self.targets.items())),
            "changed": self.changed,
            "diffs": self.diffs,
            "problems": self.problems,
            "unfinished_runs": self.unfinished,
        }
