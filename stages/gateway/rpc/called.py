"""What holds for every gRPC call: the caller of its API key, a span of the caller's trace, errors as statuses."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from opentelemetry.trace import SpanKind

from shared.telemetry import metrics
from shared.telemetry.failing import failed, work_span
from shared.telemetry.propagation import extract
from stages.gateway.app import Parts
from stages.gateway.caller import Caller, authenticate
from stages.gateway.http.context import problem_of
from stages.gateway.problems import Problem
from stages.gateway.rpc import errors

SERVICE = "lipstage.v1.Renders"
log = structlog.get_logger()


@asynccontextmanager
async def called(parts: Parts, method: str, context: Any) -> AsyncIterator[Caller]:
    """The caller, for the block that answers the call. What the block raises becomes the call's status."""
    metadata = [(name, value.encode() if isinstance(value, str) else value)
                for name, value in context.invocation_metadata() or ()]  # fmt: skip
    started, problem = time.monotonic(), None
    request_id, code, status = uuid.uuid4().hex, "OK", "OK"
    try:
        with work_span(parts.tracer, f"{SERVICE}/{method}", context=extract(metadata), kind=SpanKind.SERVER) as span:
            try:
                caller = authenticate(parts.keys, _key(metadata))
                parts.rates.take(caller)
                yield caller
            except Exception as e:  # noqa: BLE001 - `problem_of` logs what is not the caller's
                problem = problem_of(e)
                code, status = problem.code, errors.status_of(problem).name
                failed(span, code)
    except asyncio.CancelledError:
        code = status = "CANCELLED"
        raise
    finally:
        seconds = time.monotonic() - started
        metrics.GRPC_CALLS.labels(method, status).inc()
        metrics.GRPC_SECONDS.labels(method).observe(seconds)
        log.info("grpc_call", method=method, code=code, ms=round(seconds * 1000, 1), request_id=request_id)
    if problem is not None:
        await _abort(context, problem, request_id)


async def _abort(context: Any, problem: Problem, request_id: str) -> None:
    await context.abort(errors.status_of(problem), problem.message, errors.trailers(problem, request_id))


def _key(metadata: list[tuple[str, bytes]]) -> str | None:
    """The API key's text."""
    for name, value in metadata:
        scheme, _, text = value.decode("latin-1").partition(" ") if name == "authorization" else ("", "", "")
        if scheme.lower() == "bearer" and text:
            return text.strip()
    return None
