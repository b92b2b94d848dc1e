"""Which user of this machine is at the other end of a loopback connection, by the kernel's table of sockets."""

import os
import socket
import struct
from pathlib import Path
from typing import Any

TABLE = Path("/proc/net/tcp")
ROOT = 0
ESTABLISHED = "01"
"""Other states are not looked at: the kernel shows root as the owner of a socket that its process has closed."""


def uid_of(peer: tuple[Any, ...], own: tuple[Any, ...]) -> int | None:
    """The user who opened the IPv4 connection from ``peer`` to ``own``; None where the table has no such open
    connection."""
    local, remote = _hex(peer), _hex(own)
    with TABLE.open() as table:
        for line in table:
            fields = line.split()
            # proc(5): slot, local and remote address, state, queues, timer, retransmits, uid.
            if len(fields) > 7 and fields[1:4] == [local, remote, ESTABLISHED]:
                return int(fields[7])
    return None


def is_allowed(peer: tuple[Any, ...], own: tuple[Any, ...]) -> bool:
    """Whether the connection is of this process's user, or of root, who can read everything anyway."""
    return uid_of(peer, own) in (os.geteuid(), ROOT)


def _hex(address: tuple[Any, ...]) -> str:
    """An address as the table has it: the bytes of the host in the machine's order."""
    (host,) = struct.unpack("=I", socket.inet_aton(address[0]))
    return f"{host:08X}:{address[1]:04X}"
