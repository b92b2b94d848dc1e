"""Loopback ports: which are free, and which accept connections."""

import os
import random
import socket
import sys
from collections import deque
from collections.abc import Iterable

HOST = "127.0.0.1"
# Below the kernel's usual range for outgoing connections (from 32768): the port of a part that restarts is not taken by
# a client in the meantime.
RANGE = range(20000, 32000)
RESERVED = 128
"""Number of picked ports that a process reserves, the newest ones."""
_reservations: deque[int] = deque()
"""File descriptors of the sockets whose names stand for picked ports."""


def is_free(port: int) -> bool:
    """Whether a server can listen on that loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def answers(port: int, timeout: float = 0.5) -> bool:
    """Whether a server accepts connections on that loopback port."""
    try:
        socket.create_connection((HOST, port), timeout).close()
    except OSError:
        return False
    return True


def _reserve(port: int) -> bool:
    """Whether no running process has picked the port: a server listens on it only seconds later."""
    if sys.platform != "linux":
        return True
    # The kernel frees an abstract name with the process; it lies in the network namespace, as the port does.
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        name.bind(f"\0lipstage-port-{port}")
    except OSError:
        name.close()
        return False
    _reservations.append(name.detach())
    if len(_reservations) > RESERVED:
        os.close(_reservations.popleft())
    return True


def pick(count: int, taken: Iterable[int] = ()) -> list[int]:
    """``count`` different free ports, none in ``taken``, and none that a running process has picked (Linux).

    Raises OSError when the range is exhausted.
    """
    used = set(taken)
    result: list[int] = []
    # Not a seeded generator: two stacks that start together must try different ports.
    for port in random.SystemRandom().sample(RANGE, len(RANGE)):
        if len(result) == count:
            break
        if port not in used and is_free(port) and _reserve(port):
            result.append(port)
    if len(result) < count:
        raise OSError(f"no {count} free loopback ports in {RANGE.start}..{RANGE.stop - 1}")
    return result
