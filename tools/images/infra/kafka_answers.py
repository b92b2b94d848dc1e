#!/usr/bin/python3
"""Exits with 0 when the broker answers an ApiVersions request; in the place of Kafka's own script, without a JVM."""

import socket
import struct
import sys

API_VERSIONS, VERSION, CORRELATION = 18, 0, 1


def main() -> int:
    """Ask the broker of ``--bootstrap-server HOST:PORT``; prints the length of its answer."""
    host, _, port = sys.argv[sys.argv.index("--bootstrap-server") + 1].rpartition(":")
    client = b"health"
    request = struct.pack(">hhih", API_VERSIONS, VERSION, CORRELATION, len(client)) + client
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        length, correlation = struct.unpack(">ii", connection.recv(8, socket.MSG_WAITALL))
    print(f"{length} bytes")
    return int(correlation != CORRELATION)


sys.exit(main())
