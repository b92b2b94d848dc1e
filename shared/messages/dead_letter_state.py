"""Values of the compacted topic ``render.replays``: what operators did with dead letters, and their replays.

The key of a dead letter's state is its id, ``<partition>:<offset>`` on ``render.dlq``. The record of a run of
``lipstage dlq`` has the key ``audit/<id of the run>``.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.messages.names import DEFAULT_TENANT
from shared.messages.numbers import Integer, Natural, Positive

AUDIT = "audit/"
"""Prefix of the keys of runs."""


class ReplayTarget(BaseModel):
    """Where a copy of the record is."""

    model_config = ConfigDict(extra="allow", frozen=True)

    topic: str
    partition: Natural
    offset: Natural


class DeadLetterState(BaseModel):
    """What was last done with one dead letter; without such a record it is new."""

    model_config = ConfigDict(extra="allow", frozen=True)

    state: Literal["replayed", "parked", "discarded"]
    dead_letter_ms: Integer = Field(
        description="The broker's time of the dead letter: the state is void for another record with the same id, as"
        " after the topic was created again."
    )
    at_ms: Integer = Field(description="When that was done, milliseconds since the epoch.")
    run_id: str = Field(description="The run that did it: the record `audit/<run_id>` has more.")
    by: str = Field(description="Who did it: user@host.")
    reason: str | None = None
    target: ReplayTarget | None = Field(None, description="Where the replayed or parked copy is.")
    replays: Natural = Field(0, description="The replay count of the copy.")
    job_id: str | None = None
    tenant: str = DEFAULT_TENANT


class DeadLetterRun(BaseModel):
    """The audit record of one run of ``lipstage dlq replay``, ``park`` or ``discard``."""

    model_config = ConfigDict(extra="allow", frozen=True)

    action: Literal["replay", "park", "discard"]
    run_id: str
    by: str = Field(description="Who ran it: user@host.")
    version: str = Field(description="Version of lipstage that ran it.")
    started_ms: Integer
    finished_ms: Integer | None = Field(None, description="Absent while it runs, and after it was killed.")
    filter: dict[str, str] = Field(default_factory=dict, description="The filter and options, as given.")
    reason: str | None = None
    counts: dict[str, Natural] = Field(default_factory=dict, description="Dead letters by what became of them.")
    planned: Natural = 0
    limit: Positive | None = None
