"""The local trace receiver takes spans of its own user alone."""

import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from shared.local import loopback_peer
from shared.local.trace_store import TraceStore
from shared.local.traces import handler

ASK = """
import os, socket, sys
os.setuid(65534)  # From here on it may be unable to read Python's own files: nothing is imported.
peer = socket.socket()
peer.connect(("127.0.0.1", int(sys.argv[1])))
peer.sendall(b"GET /healthz HTTP/1.0\\r\\n\\r\\n")
print(peer.recv(64).split()[1].decode())
"""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    store = TraceStore(tmp_path / "spans.sqlite", 10)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(store))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    store.close()


def test_peer_is_the_user_of_the_other_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, peer = server.accept()
        with theirs:
            assert loopback_peer.uid_of(peer, theirs.getsockname()) == os.geteuid()
            ours.close()
            # The kernel shows root as the owner of a closed socket, and root is let in.
            assert loopback_peer.uid_of(peer, theirs.getsockname()) is None


@pytest.mark.parametrize("path", ["/healthz", "/renders?since_ns=0&until_ns=1&limit=1"])
def test_other_user_is_refused(address: str, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    assert urllib.request.urlopen(address + path, timeout=10).status == 200
    monkeypatch.setattr(loopback_peer, "uid_of", lambda *_: 4711)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(address + path, timeout=10)
    assert refused.value.code == 403


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_real_other_user_is_refused(address: str) -> None:
    command = [sys.executable, "-c", ASK, address.rpartition(":")[2]]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip() == "403"
