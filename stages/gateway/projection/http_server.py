"""The HTTP side of the answers: paths, status codes, JSON. Runs in the event loop of the fold."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from stages.gateway.projection.answers import Answers, BadQuery, NotKnown, NotReady

PREFIX = "/v1"
MAX_TARGET = 8 << 10
"""Longest request line and header, bytes."""
HEAD_S = 10.0
"""How long a client may take to send the head of its request, seconds."""
MAX_CONNECTIONS = 100
log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpServer:
    """Answers ``GET /v1/...``, one request a connection. Errors are ``{"error": {"code", "message"}}``."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._silent: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}
        """Ends the connections on which no request has arrived."""
        self._listening: asyncio.Server | None = None
        app = web.Application(middlewares=[self._one_request, _errors])
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
        self._listening = await asyncio.get_running_loop().create_server(self._accept, host, port)
        return int(self._listening.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Close every connection."""
        if self._listening is not None:
            self._listening.close()
        await self._runner.cleanup()

    def _accept(self) -> asyncio.BaseProtocol:
        """The protocol of a new connection. aiohttp has no limits here: silent clients would take all descriptors."""
        server = self._runner.server
        # The server does not know the newest yet; what it knows no more counts until its limit.
        if server is None or len({*server.connections, *self._silent}) >= MAX_CONNECTIONS:
            return _Refused()
        connection = server()
        self._silent[connection] = asyncio.get_running_loop().call_later(HEAD_S, self._close_silent, connection)
        return connection

    def _close_silent(self, connection: web.RequestHandler) -> None:
        del self._silent[connection]
        connection.force_close()

    @web.middleware
    async def _one_request(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.protocol in self._silent:
            self._silent.pop(request.protocol).cancel()
        response = await handler(request)
        response.force_close()
        return response

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


class _Refused(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


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
