"""CPU time and memory of worker processes and of what they start."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY

from shared.telemetry import process_usage

HOLD = "data = bytearray(b'x' * 60_000_000); print('ready', flush=True); input()"
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {HOLD!r}], stdin=sys.stdin)
child.wait()
"""


@pytest.fixture
def family() -> Iterator[subprocess.Popen[str]]:
    """A small process with a child of 60 MB."""
    process = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.communicate("\n", timeout=60)


def test_memory_includes_children(family: subprocess.Popen[str]) -> None:
    assert process_usage.memory_bytes(family.pid) > 60_000_000
    assert process_usage.memory_bytes(None) == 0


def test_memory_of_an_ended_process_is_zero() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert process_usage.memory_bytes(process.pid) == 0


def test_cpu_time_of_children_counts_while_they_live_and_after() -> None:
    before = process_usage.cpu_seconds()
    program = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    assert process_usage.cpu_seconds() - before > 0.4
    process.communicate(b"\n", timeout=60)
    assert process_usage.cpu_seconds() - before > 0.4


def test_second_service_of_a_process_replaces_the_first() -> None:
    for stage in ("first", "second"):
        process_usage.register_cpu_time(stage)
    name = "lipstage_cpu_seconds_total"
    assert REGISTRY.get_sample_value(name, {"stage": "first"}) is None
    assert REGISTRY.get_sample_value(name, {"stage": "second"})


def test_many_processes_do_not_make_a_scrape_endless(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    for pid in range(1, 2000):
        task = tmp_path / str(pid) / "task" / str(pid)
        task.mkdir(parents=True)
        (task / "children").write_text(f"{pid + 1} ")
    monkeypatch.setattr(process_usage, "PROC", tmp_path)
    assert len(list(process_usage._descendants(1))) == process_usage.MAX_PROCESSES
