"""Checks of this machine, for `doctor`: Python, package names, disk, the broker's files, ports."""

import importlib.machinery
import importlib.metadata
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shared.local import jars, ports
from shared.local.errors import StackError
from shared.local.settings import CHECKOUT, LocalSettings
from shared.local.stack_file import Stack

Level = Literal["ok", "warn", "fail"]
OLDEST_PYTHON = (3, 11)
PINS = CHECKOUT / "requirements" / "demo.txt"
OURS = ("shared", "stages")


@dataclass(frozen=True, slots=True)
class Check:
    """One finding."""

    name: str
    level: Level
    found: str
    mend: str = ""


def checks(settings: LocalSettings, running: Stack | None) -> list[Check]:
    """All of them; ``running`` is this folder's stack, whose ports are rightly taken."""
    own_broker = running.own_broker if running else bool(settings.kafka_bootstrap_servers)
    files = [] if own_broker else [broker_files(settings)]
    return [python(), packages(), names(), disk(settings), *files, taken_ports(settings, running)]


def python(version: tuple[int, ...] = sys.version_info[:3], platform: str = sys.platform) -> Check:
    """The interpreter that runs this; the services run on the same one."""
    text = ".".join(map(str, version))
    if version < OLDEST_PYTHON:
        return Check("python", "fail", text, "use Python 3.11 or newer: rm -rf .venv; make setup PYTHON=python3.11")
    if platform != "linux":
        return Check("python", "fail", f"{text} on {platform}", "the local stack needs Linux; name your own parts")
    return Check("python", "ok", text)


def packages(pins: Path = PINS) -> Check:
    """The installed packages against the committed pins; an installation without a checkout has none."""
    if not pins.is_file():
        return Check("packages", "ok", "no pins to compare with")
    differ = []
    for line in pins.read_text().splitlines():
        name, equals, rest = line.partition("==")
        # Pins for other platforms carry a marker: whether they hold here is pip's to say.
        if not equals or line.startswith((" ", "#")) or ";" in rest:
            continue
        wanted, name = rest.split()[0], name.partition("[")[0]
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "missing"
        if found != wanted:
            differ.append(f"{name} {found} instead of {wanted}")
    if differ:
        more = f" and {len(differ) - 1} more" if len(differ) > 1 else ""
        return Check("packages", "fail", f"{differ[0]}{more}", "rm -f .venv/.demo-ready; make setup")
    return Check("packages", "ok", "as pinned")


def names() -> Check:
    """`shared` and `stages` are ours: another package of that name may be imported instead, and break everything."""
    for entry in sys.path:
        for name in OURS:
            spec = importlib.machinery.PathFinder.find_spec(name, [entry])
            origin = Path(spec.origin).resolve() if spec and spec.origin else None
            if origin is None or origin.is_relative_to(CHECKOUT / name):
                continue
            owners = importlib.metadata.packages_distributions().get(name, [])
            mend = f"pip uninstall {' '.join(sorted(set(owners) - {'lipstage'})) or name}"
            return Check("package names", "fail", f"there is another {name} at {origin.parent}", mend)
    return Check("package names", "ok", "shared and stages are this project's alone")


def disk(settings: LocalSettings) -> Check:
    """Free space where the state lies."""
    state = settings.state
    where = next(folder for folder in (state, *state.parents) if folder.exists())
    free = shutil.disk_usage(where).free // (1 << 20)
    if free < settings.disk_min_mb:
        mend = f"free {settings.disk_min_mb - free} MiB or move LIPSTAGE_STATE_DIR"
        return Check("disk", "fail", f"{free} MiB free", mend)
    return Check("disk", "ok", f"{free} MiB free")


def broker_files(settings: LocalSettings) -> Check:
    """The broker's jars, by their sums."""
    try:
        found = jars.check(settings.jars)
    except StackError as error:
        return Check("broker files", "fail", error.message, "lipstage up, once with a network")
    return Check("broker files", "ok", f"{len(found)} jars as locked")


def taken_ports(settings: LocalSettings, running: Stack | None) -> Check:
    """Configured ports that another program has."""
    mine = running.ports if running else {}
    wanted = {"kafka": settings.kafka_port, "s3": settings.s3_port, "traces": settings.traces_port}
    for name, port in wanted.items():
        if port and mine.get(name) != port and not ports.is_free(port):
            mend = f"set LIPSTAGE_{name.upper()}_PORT to another, or to 0 for any"
            return Check("ports", "fail", f"{port} ({name}) is taken by another program", mend)
    return Check("ports", "ok", "free or this stack's own")
