"""One POST to an endpoint: to the address that was checked, within a time, without redirects.

httpcore and not a client above it: it takes a connection of ours, and neither follows redirects, nor asks a proxy of
the environment, nor unpacks what it receives.
"""

import socket
import ssl
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import certifi
import httpcore

from stages.gateway.webhooks.addresses import AddressPolicy, Target, UrlRefused

MAX_ANSWER = 64 << 10
"""Bytes of an answer that are read; it is then dropped."""
MAX_REASON = 200
USER_AGENT = "lipstage-webhooks/1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one POST."""

    status: int | None = None
    """Status of the answer; None without one."""
    error: str = ""
    """Why there is no answer, in words for the owner of the endpoint."""

    @property
    def is_accepted(self) -> bool:
        """Whether the endpoint has the message."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the endpoint asks not to be told any more."""
        return self.status == 410

    @property
    def in_words(self) -> str:
        """The outcome as a sentence's end: ``it answered 500``."""
        return f"it answered {self.status}" if self.status is not None else self.error


class Poster:
    """Sends messages to endpoints. Thread-safe."""

    def __init__(self, policy: AddressPolicy, timeout_s: float, context: ssl.SSLContext | None = None) -> None:
        self._policy = policy
        self._timeout_s = timeout_s
        self._context = context or _trusting()

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send one message. Never raises for what an endpoint or its host does."""
        try:
            target = self._policy.read(url)
            address = self._policy.resolve(target)
        except UrlRefused as e:
            return Answer(error=e.message)
        except OSError as e:
            return Answer(error=f"its host can't be resolved ({e.strerror or e})"[:MAX_REASON])
        connection = _Pinned(address)
        timer = threading.Timer(self._timeout_s, connection.cut)
        timer.daemon = True
        timer.start()
        try:
            return Answer(status=self._send(connection, target, headers, body))
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError) as e:
            if connection.is_cut or isinstance(e, httpcore.TimeoutException):
                return Answer(error=f"it did not answer within {self._timeout_s:g} s")
            return Answer(error=f"no answer: {str(e) or type(e).__name__}"[:MAX_REASON])
        finally:
            timer.cancel()
            connection.release()

    def _send(self, connection: "_Pinned", target: Target, headers: Mapping[str, str], body: bytes) -> int:
        url = httpcore.URL(
            scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
        )
        given = {"Host": target.authority, "User-Agent": USER_AGENT, "Content-Type": "application/json",
                 "Content-Length": str(len(body)), **headers}  # fmt: skip
        limits = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout_s)
        with (
            httpcore.ConnectionPool(self._context, max_connections=1, network_backend=connection) as pool,
            pool.stream("POST", url, headers=list(given.items()), content=body,
                        extensions={"timeout": limits}) as response,
        ):  # fmt: skip
            taken = 0
            for part in response.iter_stream():
                taken += len(part)
                if taken > MAX_ANSWER:
                    break
            return response.status


class _Pinned(httpcore.NetworkBackend):
    """Connects to one address, whatever the name, and can be cut off at any step: an endpoint that sends a byte now and
    then would never run into the time limit of a single read."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._backend = httpcore.SyncBackend()
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self.is_cut = False

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - it has been resolved.
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._backend.connect_tcp(self._address, port, timeout, local_address, socket_options)
        with self._lock:
            # TLS takes the socket over: a copy of the descriptor can still end the connection.
            self._socket = stream.get_extra_info("socket").dup()
        if self.is_cut:
            self.cut()
        return stream

    def cut(self) -> None:
        """End the connection now, and any that is made later."""
        with self._lock:
            self.is_cut = True
            if self._socket is not None:
                with suppress(OSError):  # It has ended.
                    self._socket.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Close the copy of the descriptor."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None


def _trusting() -> ssl.SSLContext:
    """The authorities that the machine trusts (SSL_CERT_FILE), and Mozilla's."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
