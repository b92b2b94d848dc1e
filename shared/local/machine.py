"""Checks of this machine for `doctor`: Python, packages, their names, disk, the broker's files, ports."""

import importlib.machinery
import importlib.metadata
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shared.local import extras, jars, ports
from shared.local.errors import StackError
from shared.local.installation import ROOT
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack
from shared.local.variables import unknown
from shared.runtime.host.settings_models import all_models
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settings_variables import check, only
from shared.slot.confinement import probe
from shared.slot.confinement.confine import PARTS, level

Level = Literal["ok", "warn", "fail"]
OLDEST_PYTHON = (3, 11)
PINS = ROOT / "requirements" / "demo.txt"
OURS = ("shared", "stages")


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its result and, unless it is ok, what to do."""

    name: str
    level: Level
    result: str
    fix: str = ""


def checks(settings: LocalSettings, running: Stack | None, remote: bool = False) -> list[Check]:
    """All checks; ``running`` is this state folder's stack, whose own ports are not conflicts.

    With ``remote`` the deployment runs elsewhere: this machine needs the command line alone.
    """
    if remote:
        return [python(platform="linux"), names(), *variables()]
    own_broker = running.own_broker if running else bool(settings.kafka_bootstrap_servers)
    files = [] if own_broker else [broker_files(settings)]
    own = [python(), packages(), names(), *variables(), *worker_confinement()]
    return [*own, disk(settings), *files, port_conflicts(settings, running)]


def python(version: tuple[int, ...] = sys.version_info[:3], platform: str = sys.platform) -> Check:
    """This process's interpreter; the services run on the same one."""
    text = ".".join(map(str, version))
    if version < OLDEST_PYTHON:
        return Check("python", "fail", text, "use Python 3.11 or newer: rm -rf .venv; make setup PYTHON=python3.11")
    if platform != "linux":
        return Check(
            "python",
            "fail",
            f"{text} on {platform}",
            "the local stack needs Linux; elsewhere name your own broker and object store",
        )
    return Check("python", "ok", text)


def packages(pins: Path = PINS) -> Check:
    """The installed packages against the committed pins, which only a checkout has."""
    if not pins.is_file():
        return _extras()
    differ = []
    for line in pins.read_text().splitlines():
        name, equals, rest = line.partition("==")
        # Pins with a marker may be for another platform.
        if not equals or line.startswith((" ", "#")) or ";" in rest:
            continue
        wanted, name = rest.split()[0], name.partition("[")[0]
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed = "missing"
        if installed != wanted:
            differ.append(f"{name} {installed} instead of {wanted}")
    if differ:
        more = f" and {len(differ) - 1} more" if len(differ) > 1 else ""
        return Check("packages", "fail", f"{differ[0]}{more}", "rm -f .venv/.demo-ready; make setup")
    return Check("packages", "ok", "as pinned")


def _extras() -> Check:
    """The packages that an installation by pip has; it has no pins."""
    for extra in ("cpu", "local"):
        if absent := extras.missing(extra):
            return Check("packages", "fail", f"missing: {', '.join(absent)}", extras.install(extra))
    return Check("packages", "ok", "those of lipstage[cpu,local]")


def variables() -> list[Check]:
    """Variables that can't be used, and those that nothing reads."""
    wrong = [Check("variables", "fail", line, "correct or unset it") for line in check((LocalSettings, *all_models()))]
    misspelt = [
        Check("variables", "warn", f"{name} is not a setting", f"did you mean {nearest}?" if nearest else "unset it")
        for name, nearest in unknown(os.environ).items()
    ]
    return [*wrong, *misspelt] or [Check("variables", "ok", "every setting can be used")]


def names() -> Check:
    """Whether another package named `shared` or `stages` is on the path: it could be imported instead of ours."""
    for entry in sys.path:
        for name in OURS:
            spec = importlib.machinery.PathFinder.find_spec(name, [entry])
            origin = Path(spec.origin).resolve() if spec and spec.origin else None
            if origin is None or origin.is_relative_to(ROOT / name):
                continue
            owners = importlib.metadata.packages_distributions().get(name, [])
            fix = f"pip uninstall {' '.join(sorted(set(owners) - {'lipstage'})) or name}"
            return Check("package names", "fail", f"there is another {name} at {origin.parent}", fix)
    return Check("package names", "ok", "no other package is named shared or stages")


def worker_confinement() -> list[Check]:
    """What this machine lets worker processes give up before they open media; a further row as root."""
    try:
        missing = probe.missing()
    except OSError as error:
        missing = (str(error),)
    checks = [Check("confinement", "ok", f"full: workers keep no other {', '.join(PARTS)}")]
    if only(RuntimeSettings, "confinement").confinement == "off":
        fix = "unset LIPSTAGE_CONFINEMENT"
        checks = [Check("confinement", "warn", "none: LIPSTAGE_CONFINEMENT is off", fix)]
    elif missing:
        text = f"{level(missing)}: workers keep {'; '.join(missing)}"
        checks = [Check("confinement", "warn", text, "see docs/confinement.md")]
    if os.geteuid() == 0:
        checks.append(Check("user", "warn", "root: a fault of a worker could reach more", "use another user"))
    return checks


def disk(settings: LocalSettings) -> Check:
    """Free space of the state folder's file system."""
    state = settings.state
    existing = next(folder for folder in (state, *state.parents) if folder.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        return Check("disk", "fail", f"{state} can't be the state folder", "set LIPSTAGE_STATE_DIR to another folder")
    free = shutil.disk_usage(existing).free // (1 << 20)
    if free < settings.disk_min_mb:
        fix = f"free {settings.disk_min_mb - free} MiB or move LIPSTAGE_STATE_DIR"
        return Check("disk", "fail", f"{free} MiB free", fix)
    return Check("disk", "ok", f"{free} MiB free")


def broker_files(settings: LocalSettings) -> Check:
    """The broker's jars, by their SHA-256."""
    try:
        files = jars.check(settings.jars)
    except StackError as error:
        return Check("broker files", "fail", error.message, "lipstage up, with a network")
    return Check("broker files", "ok", f"{len(files)} jars as locked")


def port_conflicts(settings: LocalSettings, running: Stack | None) -> Check:
    """Configured ports that another program uses."""
    own = running.ports if running else {}
    wanted = {"kafka": settings.kafka_port, "s3": settings.s3_port, "traces": settings.traces_port}
    for name, port in wanted.items():
        if port and own.get(name) != port and not ports.is_free(port):
            fix = f"set LIPSTAGE_{name.upper()}_PORT to another port, or to 0 for any free one"
            return Check("ports", "fail", f"{port} ({name}) is taken by another program", fix)
    return Check("ports", "ok", "free or used by this stack")
