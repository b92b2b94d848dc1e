"""Loopback ports: which are free, which accept connections, and which somebody has picked for a server to come."""

import errno
import os
import random
import socket
import sys
from collections.abc import Iterable

HOST = "127.0.0.1"
# Below the kernel's usual range for outgoing connections (from 32768): the port of a part that restarts is not taken by
# a client in the meantime.
RANGE = range(20000, 32000)
RESERVED = 256
"""Number of picked ports that a process reserves, the newest ones."""
_reserved: dict[int, int] = {}
"""File descriptors of the sockets whose names stand for the ports that this process has picked."""


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
    except OSError as e:
        name.close()
        return e.errno != errno.EADDRINUSE  # Where a sandbox refuses such names, nothing is reserved.
    _reserved[port] = name.detach()
    if len(_reserved) > RESERVED:
        _release(next(iter(_reserved)))
    return True


def _release(port: int) -> None:
    if (descriptor := _reserved.pop(port, None)) is not None:
        os.close(descriptor)


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
        if port in used or not _reserve(port):
            continue
        if is_free(port):
            result.append(port)
        else:
            _release(port)
    if len(result) < count:
        raise OSError(f"no {count} free loopback ports in {RANGE.start}..{RANGE.stop - 1}")
    return result
