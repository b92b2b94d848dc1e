"""``lipstage keys``: makes, lists and revokes API keys of the gateway in the file of their hashes."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared.access import api_keys
from shared.access.api_keys import ROLES, ApiKey, KeyFileInvalid
from shared.cli import columns, console, moments
from shared.cli.errors import BadUse, CliError
from shared.local import gateway, stack_file
from shared.local.settings import LocalSettings

DROP = ("NOTE", "CREATED (UTC)", "ROLE")
"""Columns that a narrow terminal does not show, the least needed first."""
MAX_NOTE = 200


def create(file: Path | None, tenant: str, role: str, expires: str | None, note: str, as_json: bool) -> None:
    """Make a key and print it; the note about it goes to stderr. Raises BadUse, CliError."""
    if role not in ROLES:
        raise BadUse(f"--role {role!r}: one of {', '.join(ROLES)}")
    if len(note) > MAX_NOTE or not note.isprintable():
        raise BadUse(f"--note: at most {MAX_NOTE} printable characters")
    expires_ms = None
    if expires is not None:
        expires_ms = time.time_ns() // 1_000_000 + round(moments.duration_s(expires, "--expires") * 1000)
    try:
        key, text = api_keys.make(tenant, role, expires_ms=expires_ms, note=note)
    except ValueError:
        raise BadUse(
            f"--tenant {tenant!r}: lower-case letters, digits, _ and -, 1 to 63 of them, not _ or - first"
        ) from None
    path, is_first = _path(file), False
    with _failures(path), api_keys.changing(path) as keys:
        is_first = not keys
        keys.append(key)
    if as_json:
        console.emit_json({"key": text, **_public(key), "file": str(path)})
    else:
        console.say(text)
    console.note(f"key {key.id} of tenant {key.tenant} ({key.role}) is in {path}; it is not shown again")
    if is_first and _is_of_open_gateway(path):
        console.note("the gateway that runs here asks for no key yet: `lipstage up` has it ask for one")


def show(file: Path | None, as_json: bool) -> None:
    """Print the keys, the oldest first. Raises CliError."""
    path = _path(file)
    with _failures(path):
        keys = api_keys.read(path) if path.exists() or file is not None else ()
    if as_json:
        for key in keys:
            console.emit_json(_public(key))
    elif not keys:
        console.note(f"no keys in {path}")
    else:
        headers = ("ID", "TENANT", "ROLE", "CREATED (UTC)", "EXPIRES (UTC)", "NOTE")
        columns.table(headers, [_cells(key) for key in keys], DROP)


def revoke(file: Path | None, ids: list[str]) -> None:
    """Remove keys, all or none of them. Raises BadUse for an id that the file does not have, CliError."""
    path = _path(file)
    wanted = {api_keys.id_of(text) for text in ids}
    with _failures(path), api_keys.changing(path) as keys:
        if unknown := wanted - {key.id for key in keys}:
            raise BadUse(f"{path} has no key {', '.join(sorted(unknown))}", "`lipstage keys list` shows them")
        keys[:] = [key for key in keys if key.id not in wanted]
    for key_id in sorted(wanted):
        console.say(f"revoked {key_id}")


def _path(file: Path | None) -> Path:
    return file.expanduser().absolute() if file is not None else gateway.keys_file(os.environ, LocalSettings().state)


def _is_of_open_gateway(path: Path) -> bool:
    """Whether it is the file of a local gateway that runs and was started without one."""
    settings = LocalSettings()
    running = stack_file.running(settings.state) if path == gateway.keys_file(os.environ, settings.state) else None
    return running is not None and running.gateway is not None and running.gateway.keys_file is None


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    try:
        yield
    except KeyFileInvalid as e:
        raise CliError(str(e), "correct or remove that line, or name another file with --file") from None
    except OSError as e:
        raise CliError(f"{path}: {e.strerror or e}", "name a file that can be changed with --file") from None


def _public(key: ApiKey) -> dict[str, Any]:
    return {"id": key.id, "tenant": key.tenant, "role": key.role, "created_ms": key.created_ms,
            "expires_ms": key.expires_ms, "note": key.note}  # fmt: skip


def _cells(key: ApiKey) -> list[str]:
    expired = "" if key.is_valid(time.time_ns() // 1_000_000) else " (over)"
    expires = "never" if key.expires_ms is None else _moment(key.expires_ms) + expired
    return [key.id, key.tenant, key.role, _moment(key.created_ms), expires, key.note or "-"]


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
