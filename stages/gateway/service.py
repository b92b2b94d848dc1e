"""The gateway as a service: HTTP in one event loop, calls to the deployment on threads."""

import asyncio
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import structlog
import uvicorn

from shared.client import Deployment
from shared.runtime.host.service_host import ServiceHost
from shared.runtime.settings import RuntimeSettings
from stages.gateway import open_files, state_source
from stages.gateway.app import Parts, make_app
from stages.gateway.caller import Keys
from stages.gateway.calls import NAME, Calls
from stages.gateway.check.checks import Checks
from stages.gateway.live.limits import Places
from stages.gateway.live.live import Live
from stages.gateway.presigned import Presigned
from stages.gateway.rates import Rates
from stages.gateway.settings import GatewaySettings
from stages.gateway.uploads import UploadFolders
from stages.gateway.webhooks.desk import desk_of
from stages.gateway.webhooks.settings import WebhookSettings

if TYPE_CHECKING:
    from stages.gateway.rpc.server import RpcServer

DRAIN_S = 5.0
"""How long open requests have once the service ends, seconds. Event streams end at once: their clients come back."""
log = structlog.get_logger()


class GatewayService:
    """The workload of the gateway."""

    def __init__(self, host: ServiceHost, options: GatewaySettings) -> None:
        """Raises KeyFileInvalid, OSError for a file of keys that can't be read."""
        self._host = host
        self._options = options
        self._deployment = Deployment(runtime=host.settings)
        self._calls = Calls(self._deployment, options.threads)
        self._uploads = UploadFolders(host.settings.scratch_dir, options.max_uploads)
        self._checks = Checks(self._uploads.path, host.settings.confinement)
        self._keys = Keys(options.keys_file) if options.keys_file is not None else None
        self._serves = False

    def run(self, stop: threading.Event, drain_s: float) -> None:
        """Answer until ``stop``."""
        asyncio.run(self._run(stop, min(drain_s, DRAIN_S)))

    async def _run(self, stop: threading.Event, drain_s: float) -> None:
        options = self._options
        open_files.allow_all()
        live = Live(self._calls, self._deployment, Places(options.max_watchers, options.max_watchers_per_tenant),
                    self._host.thread_died)  # fmt: skip
        parts = Parts(
            options,
            self._deployment,
            self._calls,
            self._uploads,
            self._checks,
            Presigned(self._deployment, options.presigned_s, options.s3_public_url),
            self._keys,
            Rates(options.rate_per_s, options.rate_burst),
            self._host.tracing.tracer,
            live,
            desk_of(WebhookSettings()),
        )
        config = uvicorn.Config(make_app(parts), log_config=None, access_log=False, server_header=False, lifespan="off",
                                timeout_keep_alive=30, timeout_graceful_shutdown=round(drain_s),
                                h11_max_incomplete_event_size=16 << 10)  # fmt: skip
        listening = _listen(options.host, options.port)
        server = _Server(config)
        served = asyncio.create_task(server.serve(sockets=[listening]))
        rpc = await _start_rpc(parts)
        reported = asyncio.create_task(state_source.report(self._host.settings.projection_url, self._host.details))
        self._serves = True
        port = listening.getsockname()[1]
        log.info("gateway_answers", host=options.host, port=port, keys=self._keys is not None)
        while not stop.is_set() and not served.done():
            await asyncio.sleep(0.1)
        self._serves = False
        server.should_exit = True
        reported.cancel()
        await live.close()
        if rpc is not None:
            await rpc.stop(drain_s)
        await served

    def close(self) -> None:
        """End the calls, and delete what has been uploaded."""
        self._calls.close()
        self._checks.close()
        self._uploads.close()

    def abandon(self) -> bool:
        """Nothing is lost when the process ends before it serves."""
        return not self._serves

    def live(self) -> str | None:
        """Always live: a loop that hangs answers no probe of the route ``/healthz``."""
        return None

    def ready(self) -> str | None:
        """The reason why it does not serve yet."""
        return None if self._serves else "the gateway does not listen yet"


async def _start_rpc(parts: Parts) -> "RpcServer | None":
    """gRPC where it has a port. Raises OSError when the port can't be used."""
    if parts.options.grpc_port is None:
        return None
    # Without a port its memory is not needed.
    from stages.gateway.rpc import server

    return await server.start(parts)


class _Server(uvicorn.Server):
    """The host handles signals: uvicorn must not."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the handlers as they are."""
        yield


def _listen(host: str, port: int) -> socket.socket:
    """Raises OSError when the address can't be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY; without, the body of an answer would wait 40 ms for the
    # acknowledgement of its headers.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((host, port))
    listening.listen(1024)
    return listening


def serve(settings: RuntimeSettings, options: GatewaySettings) -> int:
    """Run the gateway in the foreground until SIGTERM, SIGINT or a failure; returns the exit status."""
    host = ServiceHost(NAME, NAME, settings)
    return host.run(partial(GatewayService, host, options))
