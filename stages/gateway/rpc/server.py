"""The gRPC server, in the event loop of HTTP: the service, reflection, and the standard health service.

Without TLS, as HTTP: a proxy in front of the gateway ends it.
"""

from typing import Any

import grpc
import structlog
from grpc_health.v1 import health as health_names
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from stages.gateway.app import Parts
from stages.gateway.rpc.called import SERVICE
from stages.gateway.rpc.lipstage_pb2_grpc import add_RendersServicer_to_server
from stages.gateway.rpc.renders import Renders

MAX_MESSAGE_BYTES = (1 << 20) + (64 << 10)
"""Largest message either way: a part of a file, and what is around it."""
OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", 4 * MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # A port that is in use is an error.
    # A client that has gone without a word is noticed, as long as it watches.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)
log = structlog.get_logger()


class RpcServer:
    """A server that answers."""

    def __init__(self, server: Any, port: int, state: Any) -> None:
        self._server = server
        self.port = port
        self._state = state

    async def stop(self, drain_s: float) -> None:
        """Take no further call; those that run have ``drain_s`` seconds."""
        await self._state.enter_graceful_shutdown()
        await self._server.stop(drain_s)


async def start(parts: Parts) -> RpcServer:
    """Answer at LIPSTAGE_GATEWAY_GRPC_PORT. Raises OSError when it can't be used."""
    options = parts.options
    server = grpc.aio.server(options=OPTIONS)
    add_RendersServicer_to_server(Renders(parts), server)
    state = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(state, server)
    await state.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection((SERVICE, health_names.SERVICE_NAME, reflection.SERVICE_NAME), server)
    host = f"[{options.host}]" if ":" in options.host else options.host
    try:
        port = server.add_insecure_port(f"{host}:{options.grpc_port}")
    except RuntimeError as e:
        raise OSError(f"gRPC can't answer at {host}:{options.grpc_port}: {e}") from None
    await server.start()
    log.info("gateway_grpc_answers", host=options.host, port=port)
    return RpcServer(server, port, state)
