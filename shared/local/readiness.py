"""Waits until the parts of the stack answer requests; explains in one line why a part does not."""

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from shared.local.errors import StackCode, StackError
from shared.local.failure_reason import failure_reason
from shared.local.ports import HOST
from shared.local.supervision import FAULTS, Supervisor
from shared.runtime.host.not_ready import NOT_READY

POLL_S = 0.1
ANSWER_S = 2.0
"""How long a part may take to answer; where nothing listens, that shows at once."""
MAX_STARTS = 3
"""A program that was started more often than this during the wait has failed."""
SILENCE_S = 3.0
"""A supervisor that does not answer for this time has ended or hangs."""

PORT_IN_USE = re.compile(r"address already in use|bind: .*in use", re.IGNORECASE)
DISK_FULL = re.compile(r"no space left on device|disk quota exceeded|ENOSPC", re.IGNORECASE)
PORT = re.compile(r"(?:127\.0\.0\.1|localhost)[:/](\d{4,5})")


def wait_until(supervisor: Supervisor, name: str, ready: Callable[[], bool], failed: StackCode, timeout: float) -> None:
    """Return once ``ready()`` is true; ``name`` is the program that it depends on.

    Raises StackError: PORT_TAKEN, DISK_FULL or ``failed`` with the last error line of the program's log, as soon as the
    supervisor stops restarting the program or the program keeps ending, or after ``timeout`` seconds; SUPERVISOR_FAILED
    when the supervisor itself has ended.
    """
    log = supervisor.logs / f"{name}.log"
    offset = log.stat().st_size if log.exists() else 0
    until = time.monotonic() + timeout
    answered_at = time.monotonic()
    starts: set[int] = set()
    while not ready():
        program = None
        try:
            program = next((p for p in supervisor.programs() if p.name == name), None)
            answered_at = time.monotonic()
        except FAULTS as error:
            if time.monotonic() - answered_at > SILENCE_S:
                message = f"the supervisor ended while the {name} was starting; run `lipstage up` again"
                raise StackError(StackCode.SUPERVISOR_FAILED, message) from error
        if program and program.pid:
            starts.add(program.pid)
        fatal = program is not None and program.state == "FATAL"
        if fatal or len(starts) > MAX_STARTS:
            raise explain(name, _since(log, offset), failed, "it keeps ending")
        if time.monotonic() > until:
            raise explain(name, _since(log, offset), failed, f"no answer after {timeout:.0f} s")
        output = _since(log, offset)
        if PORT_IN_USE.search(output) or DISK_FULL.search(output):
            raise explain(name, output, failed, "")
        time.sleep(POLL_S)


def explain(name: str, output: str, failed: StackCode, otherwise: str) -> StackError:
    """The error for the program's output since its start; ``otherwise`` is the reason when the output has none."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for line in reversed(lines):
        if PORT_IN_USE.search(line):
            match = PORT.search(line) or PORT.search(output)
            port = f"port {match.group(1)}" if match else "a port"
            return StackError(StackCode.PORT_TAKEN, f"{port} for the {name} is taken by another program")
        if DISK_FULL.search(line):
            return StackError(StackCode.DISK_FULL, f"no space left for the {name}: free some and run `lipstage up`")
    reason = failure_reason(lines) or otherwise
    return StackError(failed, f"{name} did not become ready: {reason} (`lipstage logs {name}`)")


def refusal(port: int) -> str | None:
    """The reason that a service reports for not being ready; None when it is ready or does not answer."""
    try:
        urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=ANSWER_S).close()
    except urllib.error.HTTPError as error:
        with error:
            return str(json.load(error).get("reason"))
    except (urllib.error.URLError, OSError, ValueError):
        pass
    return None


def missing(port: int) -> str | None:
    """What a running service needs before it can work, such as weights; None when it works, loads or does not run."""
    reason = refusal(port)
    return reason.removeprefix(NOT_READY) if reason is not None and reason.startswith(NOT_READY) else None


def serves(port: int, path: str = "/readyz", timeout: float = ANSWER_S) -> bool:
    """Whether a loopback HTTP server answers 200 there."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=timeout) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _since(log: Path, offset: int) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as file:
        # A rotated log is shorter than before; then all of it is new.
        file.seek(offset if log.stat().st_size >= offset else 0)
        return file.read().decode(errors="replace")
