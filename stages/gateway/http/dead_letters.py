"""``/v1/dead-letters``: for operators, of every tenant; a replay shows its plan first."""

import heapq
import json
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from shared.client import Client, DeadLetterFilter, Replayed, ReplayOptions
from shared.client.dead_letters.dead_letter import parse_id
from shared.client.dead_letters.filters import STATES
from shared.client.dead_letters.rewriting import MAX_DEADLINE_S, Rewriter
from shared.messages.codes import Code
from shared.messages.pipeline import FAILING
from stages.gateway.caller import Operator, operator_of
from stages.gateway.http import models
from stages.gateway.http.bodies import read_model
from stages.gateway.http.schema import DeadLetterId, answers, json_body
from stages.gateway.problems import Problem

router = APIRouter(prefix="/v1/dead-letters", tags=["dead letters"])
MAX_SHOWN = 500
MAX_REPLAYED = 10_000

Words = Annotated[list[str] | None, Query()]


class Filters(BaseModel):
    """Which dead letters: all conditions hold, and of several values of one, one."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ids: list[str] = Field([], description="`partition:offset`")
    stage: list[str] = []
    code: list[str] = []
    tenant: list[str] = []
    job: list[str] = []
    state: list[str] = Field([], description=", ".join(STATES))

    def chosen(self) -> DeadLetterFilter:
        """Raises Problem and InvalidRequest for a word that no dead letter has: it would quietly choose none."""
        return DeadLetterFilter(
            ids=tuple(parse_id(text) for text in self.ids),
            stages=_known("stage", self.stage, FAILING),
            codes=_known("code", self.code, Code),
            tenants=tuple(self.tenant),
            jobs=tuple(self.job),
            states=tuple(self.state),
        )


class WantedReplay(Filters):
    """A replay: without ``go`` only its plan is made."""

    patch: dict[str, JsonValue] = Field({}, description="Fields of the requests to change: `params.seed`.")
    extend_deadline_s: float | None = Field(None, ge=1, le=MAX_DEADLINE_S, description="New deadline from now on.")
    to: str | None = Field(None, description="Topic to send to; default: where each record was read.")
    limit: int = Field(1000, ge=1, le=MAX_REPLAYED, description="Dead letters to send at most.")
    rate: float | None = Field(None, gt=0, le=10_000, description="Records a second.")
    force: bool = Field(False, description="Also what was replayed before, or would fail the same way.")
    go: bool = False


@router.get(
    "",
    response_model=None,
    dependencies=[Depends(operator_of)],
    responses=answers(200, models.DeadLetters, "The newest that match."),
)
async def listing(
    request: Request,
    stage: Words = None,
    code: Words = None,
    tenant: Words = None,
    job: Words = None,
    state: Words = None,
    limit: Annotated[int, Query(ge=1, le=MAX_SHOWN)] = 50,
) -> dict[str, Any]:
    """The newest dead letters of all tenants, or those that match."""
    given = {"stage": stage, "code": code, "tenant": tenant, "job": job, "state": state}
    chosen = Filters(**{name: words for name, words in given.items() if words}).chosen()

    def newest(client: Client) -> list[dict[str, Any]]:
        found = heapq.nlargest(limit + 1, client.dead_letters(chosen),
                               key=lambda one: (one.dead.timestamp_ms, one.dead.packed_id))  # fmt: skip
        return [one.as_json() for one in found]

    found = await request.app.state.calls(newest)
    return {"dead_letters": found[:limit], "more": len(found) > limit}


@router.get(
    "/{dead_letter_id}",
    response_model=None,
    dependencies=[Depends(operator_of)],
    responses=answers(200, models.DeadLetter, "The dead letter."),
)
async def show(dead_letter_id: DeadLetterId, request: Request) -> dict[str, Any]:
    """Everything about one dead letter: its record, why it failed, and whether a replay would help."""
    about: dict[str, Any] = await request.app.state.calls(lambda client: client.dead_letter(dead_letter_id).as_json())
    return about


@router.post(
    "/replay",
    response_model=None,
    responses=answers(200, models.Replay, "The plan, and with `go` the result."),
    openapi_extra=json_body(WantedReplay.model_json_schema()),
)
async def replay(request: Request, caller: Operator) -> dict[str, Any]:
    """Send dead letters back: a plan, and with `go` its result. Ids, or at least one filter, choose them."""
    wanted = await read_model(request, WantedReplay)
    chosen = wanted.chosen()
    if chosen == DeadLetterFilter():
        raise Problem(422, "INVALID_REQUEST", "name the dead letters", field="ids",
                      allowed="ids, or at least one of stage, code, tenant, job and state")  # fmt: skip
    # As the command line takes them: texts that are JSON where the field is not text.
    patches = tuple((n, v if isinstance(v, str) else json.dumps(v)) for n, v in wanted.patch.items())
    given = wanted.model_dump(exclude_defaults=True, exclude={*Filters.model_fields, "go"})

    def work(client: Client) -> dict[str, Any]:
        made = client.replay(
            ReplayOptions(
                filter=chosen,
                rewriter=Rewriter(client.settings.topic_prefix, patches, wanted.extend_deadline_s),
                to=wanted.to,
                limit=wanted.limit,
                rate=wanted.rate,
                force=wanted.force,
                by=f"key {caller.key_id}",
                as_given=tuple((name, json.dumps(value)) for name, value in given.items()),
            )
        )
        plan = made.plan()
        answer: dict[str, Any] = {"go": wanted.go, "plan": plan.as_json()}
        if not wanted.go:
            return answer
        done = made.run(plan.work) if plan.work else Replayed("", 0, 0, 0, plan.refused, ())
        counts = {"sent": done.sent, "parked": done.parked, "failed": done.failed, "refused": done.refused}
        return {**answer, "run_id": done.run_id or None, **counts, "errors": list(done.errors)}

    result: dict[str, Any] = await request.app.state.calls(work)
    return result


def _known(field: str, words: list[str], known: Iterable[str]) -> tuple[str, ...]:
    possible = tuple(map(str, known))
    for word in words:
        if word not in possible:
            raise Problem(422, "INVALID_REQUEST", f"{field}: {word[:64]!r} is not known to this version", field=field,
                          allowed=", ".join(possible))  # fmt: skip
    return tuple(words)
