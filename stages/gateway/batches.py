"""Submits the renders of a batch: each one that can't be submitted has its own problem, and the others go on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from shared.client import Client, ClientError, JobSpec, Submission, Unreachable
from shared.client.manifest_specs import job_id_of
from stages.gateway import problems
from stages.gateway.caller import Caller
from stages.gateway.problems import Problem
from stages.gateway.submitting import spec_of


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """The renders that a caller has sent, and what they have in common."""

    caller: Caller
    batch_id: str
    renders: Sequence[JsonValue]
    baggage: str | None

    def submitted(self, client: Client, start: int, step: int) -> list[tuple[int, Submission | Problem]]:
        """Submit every ``step``-th render from ``start`` on; each index with its submission or its problem."""
        client.begin_batch()
        away: Problem | None = None
        found: list[tuple[int, Submission | Problem]] = []
        for index in range(start, len(self.renders), step):
            if away is not None:
                found.append((index, away))
                continue
            try:
                found.append((index, client.submit(self._spec(index))))
            except Unreachable as e:  # The others would wait as long, one after the other.
                away = problems.of_error(e)
                found.append((index, away))
            except ClientError as e:
                found.append((index, problems.of_error(e)))
            except Problem as e:
                found.append((index, e))
        return found

    def _spec(self, index: int) -> JobSpec:
        """Raises Problem, InvalidRequest."""
        render = self.renders[index]
        if not isinstance(render, dict):
            raise Problem(422, "INVALID_REQUEST", "a render is an object", field=f"renders.{index}")
        if render.get("batch") is not None:
            raise Problem(422, "INVALID_REQUEST", "batch can't be set: it is the place in this batch", field="batch")
        place: dict[str, JsonValue] = {"id": self.batch_id, "index": index, "total": len(self.renders)}
        fields = {**render, "batch": place}
        if fields.get("job_id") is None:
            fields["job_id"] = job_id_of(self.caller.tenant, self.batch_id, index)
        return spec_of(self.caller, fields, {}, baggage=self.baggage)


def row(index: int, result: Submission | Problem, request_id: str) -> dict[str, Any]:
    """The answer about one render."""
    if isinstance(result, Problem):
        return {"index": index, "problem": result.as_json(request_id)}
    return {"index": index, "job_id": result.job_id, "is_repeat": result.is_repeat}


def problem_json(error: ClientError, request_id: str) -> dict[str, Any]:
    """The problem of one render of a batch."""
    return problems.of_error(error).as_json(request_id)
