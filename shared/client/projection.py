"""Asks the job-state projection over HTTP, where the deployment names one, instead of scanning the events."""

import json
import time
from collections.abc import Callable, Collection, Iterator
from http.client import HTTPException
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from shared.client import job_fold
from shared.client.errors import ClientError
from shared.client.job_key import JobKey
from shared.client.job_state import JobState

Answer = TypeVar("Answer")
ANSWER_S = 5.0
AWAY_S = 30.0
PAGE = 1000
MAX_BYTES = 1 << 30
"""Largest answer that is read."""


class ProjectionUnavailable(ClientError):
    """The projection does not answer, or is not ready: the events must be scanned."""


class Projection:
    """The answers of one projection. Every method raises ProjectionUnavailable."""

    def __init__(self, url: str) -> None:
        """``url`` is that of LIPSTAGE_PROJECTION_URL: scheme, host and port."""
        self.url = url.rstrip("/")
        # On the loopback no proxy of the environment is meant.
        local = urlsplit(self.url).hostname in ("127.0.0.1", "::1", "localhost")
        self._opener = build_opener(ProxyHandler({})) if local else build_opener()

    def jobs(
        self,
        *,
        tenant: str | None = None,
        batch: str | None = None,
        statuses: Collection[str] = (),
        since_ms: int = 0,
        until_ms: int | None = None,
        limit: int | None = None,
    ) -> list[JobState]:
        """The newest jobs, newest first; the arguments are those of `Client.jobs`, and ``until_ms``: submitted before
        that time."""
        asked: dict[str, str] = {"tenant": tenant or "", "batch": batch or "", "status": ",".join(statuses)}
        asked |= {"since_ms": str(since_ms) if since_ms > 0 else ""}
        asked |= {"until_ms": str(max(0, until_ms)) if until_ms is not None else ""}
        return list(self._pages({name: text for name, text in asked.items() if text}, limit))

    def job(self, key: JobKey) -> JobState | None:
        """The job as its events describe it; None when it is not known."""
        answer = self._get(f"/v1/jobs/{quote(key.tenant, safe='')}/{quote(key.job_id, safe='')}", {})
        return None if answer is None else _state(answer["job"])

    def started_jobs(self, *, tenant: str | None = None, since_ms: int = 0) -> tuple[list[JobState], int]:
        """The jobs that have events, newest first: as the events alone give them, without those that are only
        requested yet. And since when no job is missing, milliseconds since the epoch: older ones are not kept."""
        asked = {"tenant": tenant or "", "since_ms": str(max(0, since_ms)), "from_request": "no"}
        position = self._get("/v1/position", {}) or {}
        if not isinstance(complete_since_ms := position.get("complete_since_ms"), int):
            raise ProjectionUnavailable("the projection is of another version than this client")
        return list(self._pages({name: text for name, text in asked.items() if text}, None)), complete_since_ms

    def get(self, path: str, **query: str) -> dict[str, Any] | None:
        """Any other answer, as read from JSON (docs/projection.md); None for what is not known."""
        return self._get(path, query)

    def _pages(self, asked: dict[str, str], limit: int | None) -> Iterator[JobState]:
        after: str | None = None
        left = limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            answer = self._get("/v1/jobs", asked | {"limit": str(size)} | ({"after": after} if after else {}))
            if answer is None:
                raise ProjectionUnavailable("the projection does not know this question")
            yield from map(_state, answer["jobs"])
            after = answer["next"]
            if after is None:
                return
            left = None if left is None else left - len(answer["jobs"])

    def _get(self, path: str, query: dict[str, str]) -> dict[str, Any] | None:
        url = f"{self.url}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            with self._opener.open(Request(url), timeout=ANSWER_S) as response:
                answer: dict[str, Any] = json.loads(response.read(MAX_BYTES))
        except HTTPError as e:
            code, message = _error(e)
            if code == "NOT_KNOWN":
                return None
            raise ProjectionUnavailable(f"the projection at {self.url} answers {e.code}: {message}") from None
        except (URLError, OSError, HTTPException, ValueError) as e:
            reason = e.reason if isinstance(e, URLError) else e
            raise ProjectionUnavailable(f"the projection at {self.url} does not answer ({reason})") from None
        return answer


class ProjectionCalls:
    """Asks the projection, where ``url`` names one, and reports when it can't be asked: then the caller scans the
    events, and the projection is asked again after ``AWAY_S`` seconds."""

    def __init__(self, url: str, on_fallback: Callable[[str], None]) -> None:
        self._projection = Projection(url) if url else None
        self._away_until = 0.0
        self._on_fallback = on_fallback

    def jobs(
        self,
        *,
        tenant: str | None = None,
        batch: str | None = None,
        statuses: Collection[str] = (),
        since_ms: int = 0,
        until_ms: int | None = None,
        limit: int | None = None,
    ) -> list[JobState] | None:
        """As `Projection.jobs`; None when the events must be scanned."""
        return self._ask(
            lambda asked: asked.jobs(
                tenant=tenant, batch=batch, statuses=statuses, since_ms=since_ms, until_ms=until_ms, limit=limit
            )
        )

    def started_jobs(self, *, tenant: str | None = None, since_ms: int = 0) -> tuple[list[JobState], int] | None:
        """As `Projection.started_jobs`; None when the events must be scanned."""
        return self._ask(lambda asked: asked.started_jobs(tenant=tenant, since_ms=since_ms))

    def job(self, key: JobKey) -> tuple[JobState | None] | None:
        """As `Projection.job`, in a tuple; None when the events must be scanned."""
        return self._ask(lambda asked: (asked.job(key),))

    def _ask(self, question: Callable[[Projection], Answer]) -> Answer | None:
        if self._projection is None or time.monotonic() < self._away_until:
            return None
        try:
            return question(self._projection)
        except ProjectionUnavailable as e:
            self._away_until = time.monotonic() + AWAY_S
            self._on_fallback(str(e))
            return None


def _state(read: object) -> JobState:
    record = job_fold.read(read)
    if record is None:
        raise ProjectionUnavailable("the projection is of another version than this client")
    return record.state


def _error(response: HTTPError) -> tuple[str, str]:
    """Code and message of an error's body; empty for a body that is not ours."""
    try:
        error = json.loads(response.read(1 << 16))["error"]
        return str(error["code"]), str(error["message"])
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return "", response.reason
