"""The HTTP side of the answers: paths, status codes, JSON. Runs in the event loop of the fold."""

from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from stages.gateway.projection.answers import Answers, BadQuery, NotKnown, NotReady

PREFIX = "/v1"
MAX_TARGET = 8 << 10
"""Longest request line and header, bytes."""
log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpServer:
    """Answers ``GET /v1/...``. Errors are ``{"error": {"code", "message"}}``."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        app = web.Application(middlewares=[_errors])
        for path, handler in (
            ("/position", self._position),
            ("/jobs", self._jobs),
            ("/jobs/{tenant}/{job_id}", self._job),
            ("/batches/{tenant}/{batch_id}", self._batch),
            ("/statistics", self._statistics),
            ("/stuck", self._stuck),
        ):
            app.router.add_get(PREFIX + path, handler)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, max_line_size=MAX_TARGET, max_field_size=MAX_TARGET
        )

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises OSError when the address can't be used."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Close every connection."""
        await self._runner.cleanup()

    async def _position(self, _: web.Request) -> web.Response:
        return _answer(self._answers.position())

    async def _jobs(self, request: web.Request) -> web.Response:
        return _answer(self._answers.jobs(request.query))

    async def _job(self, request: web.Request) -> web.Response:
        return _answer(self._answers.job(**request.match_info))

    async def _batch(self, request: web.Request) -> web.Response:
        return _answer(self._answers.batch(**request.match_info))

    async def _statistics(self, request: web.Request) -> web.Response:
        return _answer(self._answers.statistics(request.query))

    async def _stuck(self, request: web.Request) -> web.Response:
        return _answer(self._answers.stuck(request.query))


def _answer(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except BadQuery as e:
        return _error(400, "BAD_QUERY", str(e))
    except NotKnown as e:
        return _error(404, "NOT_KNOWN", str(e))
    except NotReady as e:
        return _error(503, "NOT_READY", str(e))
    except web.HTTPException as e:
        return _error(e.status, "NO_SUCH_PATH" if e.status == 404 else "BAD_REQUEST", e.reason)
    except Exception:
        log.exception("answer_failed", path=request.path)
        return _error(500, "INTERNAL", "the answer could not be made; the log has the reason")


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message}}, status=status)
