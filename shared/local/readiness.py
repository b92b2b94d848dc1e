"""Wait until the parts of the stack answer real requests; when one can't, say why in one line."""

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from shared.local.errors import StackCode, StackError
from shared.local.ports import HOST
from shared.local.supervision import FAULTS, Supervisor
from shared.runtime.health import LACKING

POLL_S = 0.1
MOST_STARTS = 3
"""A program that had to be started more often than this while we wait is not coming up."""
SILENCE_S = 3.0
"""A supervisor that does not answer for so long has gone, or hangs."""

TAKEN = re.compile(r"address already in use|bind: .*in use", re.IGNORECASE)
FULL = re.compile(r"no space left on device|disk quota exceeded|ENOSPC", re.IGNORECASE)
PORT = re.compile(r"(?:127\.0\.0\.1|localhost)[:/](\d{4,5})")
TELLING = re.compile(r"\b(error|fatal|exception|failed|traceback|cannot|could not)\b", re.IGNORECASE)


def wait_until(supervisor: Supervisor, name: str, ready: Callable[[], bool], failed: StackCode, timeout: float) -> None:
    """Return once ``ready()``; ``name`` is the program that makes it so.

    Raises StackError: PORT_TAKEN, DISK_FULL or ``failed`` with the last telling line of the program's log, as soon as
    the program is given up by the supervisor or keeps dying, or after ``timeout`` seconds; SUPERVISOR_FAILED when the
    supervisor itself has gone.
    """
    log = supervisor.logs / f"{name}.log"
    begin = log.stat().st_size if log.exists() else 0
    until = time.monotonic() + timeout
    heard = time.monotonic()
    starts: set[int] = set()
    while not ready():
        program = None
        try:
            program = next((p for p in supervisor.programs() if p.name == name), None)
            heard = time.monotonic()
        except FAULTS as error:
            if time.monotonic() - heard > SILENCE_S:
                message = f"the supervisor ended while the {name} was starting; run `lipstage up` again"
                raise StackError(StackCode.SUPERVISOR_FAILED, message) from error
        if program and program.pid:
            starts.add(program.pid)
        given_up = program is not None and program.state == "FATAL"
        if given_up or len(starts) > MOST_STARTS:
            raise explain(name, _since(log, begin), failed, "it keeps ending")
        if time.monotonic() > until:
            raise explain(name, _since(log, begin), failed, f"no answer after {timeout:.0f} s")
        early = _since(log, begin)
        if TAKEN.search(early) or FULL.search(early):
            raise explain(name, early, failed, "")
        time.sleep(POLL_S)


def explain(name: str, output: str, failed: StackCode, otherwise: str) -> StackError:
    """The error that the program's output since its start speaks of."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for line in reversed(lines):
        if TAKEN.search(line):
            at = PORT.search(line) or PORT.search(output)
            port = f"port {at.group(1)}" if at else "a port"
            return StackError(StackCode.PORT_TAKEN, f"{port} for the {name} is taken by another program")
        if FULL.search(line):
            return StackError(StackCode.DISK_FULL, f"no space left for the {name}: free some and run `lipstage up`")
    telling = [line for line in lines if TELLING.search(line)] or lines
    said = telling[-1][:300] if telling else otherwise
    return StackError(failed, f"{name} did not become ready: {said} (`lipstage logs {name}`)")


def refusal(port: int, timeout: float = 1.0) -> str | None:
    """Why a service says it is not ready; None when it is, or does not answer at all."""
    try:
        urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=timeout).close()
    except urllib.error.HTTPError as error:
        with error:
            return str(json.load(error).get("reason"))
    except (urllib.error.URLError, OSError, ValueError):
        pass
    return None


def lacking(port: int, timeout: float = 1.0) -> str | None:
    """What a service that is up waits for before it can work, as weights; None when it works, loads or is down."""
    said = refusal(port, timeout)
    return said.removeprefix(LACKING) if said is not None and said.startswith(LACKING) else None


def serves(port: int, path: str = "/readyz", timeout: float = 1.0) -> bool:
    """Whether a loopback HTTP server answers 200 there."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=timeout) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _since(log: Path, begin: int) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as file:
        # A rotated log is shorter than it was; then all of it is news.
        file.seek(begin if log.stat().st_size >= begin else 0)
        return file.read().decode(errors="replace")
