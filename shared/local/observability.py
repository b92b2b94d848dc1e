"""The optional parts of the local stack: Tempo, Prometheus, Grafana. Each runs where its program is found.

A part is a module with NAME, PORTS (names in the stack file; the first is its HTTP port), COMMANDS (names on PATH),
READY (its probe) and `program()`.
"""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

from shared.local import grafana, prometheus, readiness, tempo
from shared.local.errors import StackCode, StackError
from shared.local.program import Program
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack

PARTS: dict[str, ModuleType] = {part.NAME: part for part in (tempo, prometheus, grafana)}
"""By name, in the order of their start: each uses those before it."""


def assign(settings: LocalSettings, stack: Stack) -> None:
    """Record which programs run, if the stack was asked for them.

    An external collector (OTEL_EXPORTER_OTLP_ENDPOINT) gets the spans, so that there is nothing for a local Tempo.
    """
    found = {name: find(settings, name) for name in PARTS} if stack.observability else {}
    if stack.own_traces:
        found.pop(tempo.NAME, None)
    stack.programs = {name: path for name, path in found.items() if path is not None}


def find(settings: LocalSettings, name: str) -> Path | None:
    """The program of a part: the one that LIPSTAGE_<NAME>_BIN names, else the one on PATH; None when there is none."""
    if (named := binary_setting(settings, name)) is not None:
        return named if named.is_file() and os.access(named, os.X_OK) else None
    found = next(filter(None, map(shutil.which, PARTS[name].COMMANDS)), None)
    return Path(found) if found else None


def binary_setting(settings: LocalSettings, name: str) -> Path | None:
    """The value of LIPSTAGE_<NAME>_BIN."""
    value: Path | None = getattr(settings, f"{name}_bin")
    return value


def check(settings: LocalSettings) -> None:
    """Raises StackError (PROGRAM_MISSING) when a setting names a program that is not there."""
    wrong = [
        f"LIPSTAGE_{name.upper()}_BIN={named} is not a program"
        for name in PARTS
        if (named := binary_setting(settings, name)) is not None and find(settings, name) is None
    ]
    if wrong:
        raise StackError(StackCode.PROGRAM_MISSING, wrong[0], wrong[1:])


def missing(stack: Stack) -> dict[str, str]:
    """The parts that do not run although the stack was asked for them, each with the reason and what follows."""
    if not stack.observability:
        return {}
    reasons = {}
    for name, part in PARTS.items():
        if name in stack.programs:
            continue
        if name == tempo.NAME and stack.own_traces:
            reasons[name] = f"not started: the spans go to {stack.otlp_endpoint} (OTEL_EXPORTER_OTLP_ENDPOINT)"
        else:
            commands = " or ".join(part.COMMANDS)
            reasons[name] = f"no {commands} on PATH, and LIPSTAGE_{name.upper()}_BIN is not set; {part.WITHOUT}"
    return reasons


def programs(settings: LocalSettings, stack: Stack) -> list[Program]:
    """The programs of the parts that run. Writes their folders and files below the state folder."""
    return [PARTS[name].program(settings, stack) for name in PARTS if name in stack.programs]


def start(settings: LocalSettings, stack: Stack, note: Callable[[str], None]) -> None:
    """Start the written programs, and wait until they answer.

    ``note`` gets a line for each part, also for one that is missing. Raises StackError: STORE_FAILED for the bucket of
    the traces, or <PART>_FAILED with the reason.
    """
    prometheus.write_targets(stack)
    if tempo.NAME in stack.programs:
        tempo.ensure_bucket(stack)
    supervisor = stack.supervisor()
    supervisor.apply()
    for name, url in urls(stack).items():
        part, port = PARTS[name], stack.ports[name]
        ready = partial(readiness.serves, port, part.READY)
        readiness.wait_until(supervisor, name, ready, part.FAILED, settings.start_timeout_s)
        note(f"{name} {url}: ready")
    for name, reason in missing(stack).items():
        note(f"{name}: {reason}")


def urls(stack: Stack) -> dict[str, str]:
    """The address of every part that runs, in the order of PARTS."""
    return {name: stack.url(name) for name in PARTS if name in stack.programs}
