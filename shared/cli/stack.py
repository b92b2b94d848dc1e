"""``lipstage up``, ``down``, ``status``, ``logs`` and ``doctor``: call the local stack and print the result."""

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from shared.cli import console
from shared.cli.errors import BadUse, CliError, ExitCode, Unreachable
from shared.local.errors import StackCode, StackError
from shared.local.settings import LocalSettings
from shared.messages.pipeline import GATEWAY, WEBHOOKS

if TYPE_CHECKING:
    from shared.local.status import PartStatus

POLL_S = 0.25
NAME_WIDTH = 11
"""Characters of a part's name in the list that `up` prints."""


def parse_scale(texts: list[str]) -> dict[str, int]:
    """Replicas by stage from ``STAGE=N`` texts. Raises BadUse."""
    scale: dict[str, int] = {}
    for text in texts:
        name, _, count = text.partition("=")
        if not name or not count.isdecimal():
            raise BadUse(f"--scale {text!r} is not of the form STAGE=N", "for example --scale infer=2")
        scale[name] = int(count)
    return scale


def failed(error: StackError) -> CliError:
    """The error of a command that could not start or stop the stack: exit code 2 for --scale or --engine, else 1."""
    if error.code in (StackCode.BAD_SCALE, StackCode.BAD_ENGINE):
        return BadUse(error.message, details=error.details)
    return CliError(f"{error.code}: {error.message}", details=error.details)


def up(
    texts: list[str],
    engines: list[str] | None,
    with_observability: bool | None,
    with_gateway: bool | None,
    secure: bool | None,
    as_json: bool,
) -> ExitCode:
    """Start or repair the local stack and print its addresses; failed when a service is not ready. Raises CliError."""
    from shared.cli import start_up
    from shared.cli.environment import warn_of_unknown_variables
    from shared.local import observability, other_users, stack
    from shared.local.variables import read_settings

    scale = parse_scale(texts)
    if with_gateway is not None:
        # Endpoints that are registered there are told of ended renders.
        scale |= dict.fromkeys((GATEWAY, WEBHOOKS), int(with_gateway))
    settings = read_settings()
    warn_of_unknown_variables()
    if os.geteuid() == 0:
        console.note("running as root: a fault of a worker process could reach more; use another user")
    try:
        with start_up.display(quiet=as_json) as note:
            note("starting the local stack")
            started = stack.up(
                settings, scale, note=note, engines=engines, with_observability=with_observability, secure=secure
            )
    except StackError as e:
        raise failed(e) from None
    rows = {
        "kafka": started.bootstrap_servers,
        "s3": started.s3_endpoint_url,
        "traces": started.otlp_endpoint,
        **observability.urls(started),
        **({GATEWAY: started.gateway_url} if started.gateway_url else {}),
        "state": str(started.state_dir),
    }
    not_ready = stack.not_ready(started)
    for line in other_users.exposure(started):
        console.note(console.warning("warning: "), line)
    if as_json:
        services = [service.model_dump(mode="json") for service in started.services]
        console.emit_json({**rows, "services": services, "not_ready": not_ready,
                           "missing": observability.missing(started)})  # fmt: skip
    else:
        for name, value in rows.items():
            console.say(f"{name:<{NAME_WIDTH}}{value}")
        names = ", ".join(service.name for service in started.services)
        for number, line in enumerate(console.wrapped(names, NAME_WIDTH, console.width())):
            console.say(f"{'services':<{NAME_WIDTH}}{line}" if number == 0 else line)
        for name, reason in not_ready.items():
            console.note(f"{name} is not ready: {reason}")
    return ExitCode.FAILED if not_ready else ExitCode.DONE


def down(purge: bool) -> None:
    """Stop the local stack; no error when none runs. With ``purge``, print what was deleted and what is kept.

    Raises CliError.
    """
    from shared.local import stack

    settings = LocalSettings()
    try:
        deleted = stack.down(settings, purge)
    except StackError as e:
        raise failed(e) from None
    console.say("stopped")
    if not purge:
        return
    console.say(f"deleted {', '.join(deleted)} in {settings.state}" if deleted else "there was nothing to delete")
    others = sorted(entry.name for entry in settings.state.iterdir() if entry.name not in (*deleted, "lock"))
    kept = [f"{', '.join(others)} in {settings.state}"] if others else []
    if settings.jars.is_dir() and not settings.jars.is_relative_to(settings.state):
        kept.append(f"the broker's files in {settings.jars}")
    for one in kept:
        console.say(f"kept {one}")


def logs(name: str | None, lines: int, follow: bool) -> None:
    """Print the last lines of a log, and new ones with ``follow``. Raises CliError, Unreachable."""
    from shared.local import log_files

    settings = LocalSettings()
    names = log_files.names(settings)
    if name is None:
        if not names:
            raise Unreachable("there are no logs here", "start a stack with `lipstage up`")
        for one in names:
            console.say(one)
        return
    try:
        path = log_files.log_file(settings, name)
    except FileNotFoundError as e:
        raise BadUse(str(e), f"logs are {', '.join(names) or 'none'}") from None
    _print_log(path, lines, follow)


def _print_log(path: Path, lines: int, follow: bool) -> None:
    # Only \n ends a line: a lone carriage return inside of one must not split it.
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        for line in file.readlines()[-lines:]:
            _print_line(line)
        while follow:
            if line := file.readline():
                _print_line(line)
            else:
                time.sleep(POLL_S)


def _print_line(line: str) -> None:
    console.say(line.rstrip("\r\n").expandtabs())


def status(as_json: bool) -> ExitCode:
    """Print every part; failed when one is not healthy. Raises Unreachable when no stack runs."""
    from shared.local.status import status as stack_status

    parts = stack_status(LocalSettings())
    if not parts:
        raise Unreachable("no stack is running here", "start one with `lipstage up`")
    if as_json:
        console.emit_json([asdict(part) for part in parts])
    else:
        console.table(("PART", "HEALTH", "PORT", "PID", "MEMORY", "LAG"), [_row(part) for part in parts])
        for part in parts:
            if not part.healthy or not part.pid:
                for line in console.wrapped(f"{part.name}: {part.detail}", 2, console.width()):
                    console.say(console.styled(line, red=not part.healthy))
    return ExitCode.DONE if all(part.healthy for part in parts) else ExitCode.FAILED


def _row(part: "PartStatus") -> tuple[object, ...]:
    health = "OFF" if not part.port else "ok" if part.healthy else "DOWN"
    lag = "-" if part.lag is None else part.lag
    return part.name, health, part.port or "-", part.pid or "-", f"{part.memory_mb} MB", lag


def doctor(as_json: bool) -> ExitCode:
    """Print every check with its fix; failed when one failed."""
    from shared.local.doctor import doctor as run_checks

    checks = run_checks(LocalSettings())
    if as_json:
        console.emit_json([asdict(check) for check in checks])
    else:
        for check in checks:
            first = f"{check.level:<6}{check.name:<15}"
            for number, line in enumerate(console.wrapped(check.result, len(first), console.width())):
                console.say(console.styled(f"{first}{line}" if number == 0 else line, red=check.level == "fail"))
            for number, line in enumerate(console.wrapped(check.fix, 26, console.width()) if check.fix else []):
                console.say(f"{'':<21}fix: {line}" if number == 0 else line)
    return ExitCode.FAILED if any(check.level == "fail" for check in checks) else ExitCode.DONE
