"""A real Tempo for tests, where the machine has one: named by LIPSTAGE_TEMPO_BIN, or on PATH."""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.local.ports import HOST, pick

CONFIG: dict[str, object] = {
    "server": {"http_listen_address": HOST, "grpc_listen_address": HOST, "log_level": "error"},
    "storage": {"trace": {"backend": "local", "wal": {"path": "wal"}, "local": {"path": "blocks"}}},
    "live_store": {
        **{"wal": {"path": "live"}, "shutdown_marker_dir": "marker"},
        **{"max_trace_idle": "1s", "flush_check_period": "1s"},
    },
    "backend_scheduler": {"local_work_path": "scheduler"},
    # By default a search leaves out the last 30 s.
    "query_frontend": {"query_end_cutoff": "0s"},
    "usage_report": {"reporting_enabled": False},
}
"""Blocks on the local disk, in the folder that the program runs in."""
START_S = 60.0


def program() -> str:
    """The program; skips the test where there is none."""
    found = os.environ.get("LIPSTAGE_TEMPO_BIN") or shutil.which("tempo")
    if not found:
        pytest.skip("no Tempo on this machine: name one by LIPSTAGE_TEMPO_BIN, or put it on PATH")
    return found


class RunningTempo:
    """A Tempo with its blocks on the local disk."""

    def __init__(self, port: int, otlp: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.otlp_url = f"http://127.0.0.1:{otlp}"

    def export(self, body: bytes) -> None:
        """Send an OTLP export request."""
        headers = {"Content-Type": "application/x-protobuf"}
        request = urllib.request.Request(f"{self.otlp_url}/v1/traces", data=body, headers=headers, method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200


@contextmanager
def running(folder: Path) -> Iterator[RunningTempo]:
    """Start one, and stop it at the end."""
    port, grpc, otlp = pick(3)
    path = folder / "tempo.json"  # YAML includes JSON.
    http = {"protocols": {"http": {"endpoint": f"{HOST}:{otlp}"}}}
    path.write_text(json.dumps({**CONFIG, "distributor": {"receivers": {"otlp": http}}}))
    ports = [f"-server.http-listen-port={port}", f"-server.grpc-listen-port={grpc}"]
    with (folder / "tempo.log").open("wb") as log:
        process = subprocess.Popen([program(), f"-config.file={path}", *ports], cwd=folder, stdout=log, stderr=log)
    tempo = RunningTempo(port, otlp)
    try:
        deadline = time.monotonic() + START_S
        while not _is_ready(tempo.url):
            log_text = (folder / "tempo.log").read_text(errors="replace")[-2000:]
            assert process.poll() is None and time.monotonic() < deadline, log_text
            time.sleep(0.1)
        yield tempo
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(20)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
