"""What holds for every HTTP request: an id, a span of the caller's trace, security headers, and errors as problems."""

import json
import time
import uuid
from collections.abc import Iterable, MutableMapping
from typing import Any

import structlog
from opentelemetry.trace import SpanKind, Tracer
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.client.errors import ClientError
from shared.messages.codes import Rejected
from shared.telemetry import metrics
from shared.telemetry.attributes import registered, set_attributes
from shared.telemetry.failing import failed, work_span
from shared.telemetry.propagation import extract
from stages.gateway import problems
from stages.gateway.http.origins import Origins
from stages.gateway.problems import Problem

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), microphone=(self), geolocation=()"),
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none';"
        b" base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
)
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "DELETE"})
QUIET = frozenset({"/healthz"})
CLIENT_WENT_AWAY = 499
"""In logs and metrics only: nobody gets this answer."""
log = structlog.get_logger()


class RequestContext:
    """Outermost middleware. Plain ASGI: nothing between an event stream and its client buffers or counts tasks."""

    def __init__(self, app: ASGIApp, tracer: Tracer, origins: Origins) -> None:
        self._app = app
        self._tracer = tracer
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        method = scope["method"] if scope["method"] in METHODS else "other"
        started, answered = time.monotonic(), _Answered()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered.status = message["status"]
                message["headers"] = [*_security(message["headers"]), (b"x-request-id", request_id.encode())]
            await send(message)

        trace = extract((name.decode("latin-1"), value) for name, value in scope["headers"])
        with work_span(self._tracer, method, context=trace, kind=SpanKind.SERVER) as span:
            try:
                self._origins.check(
                    method, headers.get(b"host"), headers.get(b"origin"), headers.get(b"sec-fetch-site")
                )
                await self._app(scope, receive, answer)
            except Exception as e:
                if answered.status is not None:  # The client sees a cut connection; nothing else can be said.
                    raise
                await send_problem(problem_of(e), request_id, answer)
            route = route_of(scope)
            span.update_name(f"{method} {route}")
            set_attributes(span, registered({"http.request.method": method, "http.route": route}))
            if answered.status is not None:
                set_attributes(span, {"http.response.status_code": answered.status})
                if answered.status >= 500:
                    failed(span, str(answered.status))
        seconds = time.monotonic() - started
        metrics.HTTP_REQUESTS.labels(method, route, str(answered.status or 0)).inc()
        metrics.HTTP_SECONDS.labels(method, route).observe(seconds)
        if route not in QUIET:
            log.info("http_request", method=method, route=route, status=answered.status, ms=round(seconds * 1000, 1),
                     request_id=request_id)  # fmt: skip


class _Answered:
    status: int | None = None


def route_of(scope: Scope) -> str:
    """The path of the route with names in place of ids; ``other`` for a path that no route has: labels are few."""
    return str(getattr(scope.get("route"), "path", "other"))


def problem_of(error: Exception) -> Problem:
    """What the caller is told of an exception; one that is not the caller's is logged."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, ClientError):
        return problems.of_error(error)
    if isinstance(error, Rejected):
        return problems.of_rejection(error)
    if isinstance(error, ClientDisconnect):
        return Problem(CLIENT_WENT_AWAY, "CLIENT_WENT_AWAY", "the client went away before its request was complete")
    log.exception("request_failed", exc_info=error)
    return Problem(500, "INTERNAL", "the request could not be handled; the log of the gateway has the reason")


async def send_problem(problem: Problem, request_id: str, send: Send) -> None:
    """Answer with the problem."""
    body = json.dumps(problem.as_json(request_id)).encode()
    given = {"content-type": problems.MEDIA_TYPE, "content-length": str(len(body))} | problem.as_headers()
    headers = [(name.encode(), value.encode()) for name, value in given.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _security(given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of an answer with the security headers that it does not set itself."""
    headers = list(given)
    names: MutableMapping[bytes, Any] = {name.lower(): value for name, value in headers}
    return [*headers, *(pair for pair in SECURITY_HEADERS if pair[0] not in names)]
