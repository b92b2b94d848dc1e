"""Which environment variables reach the services, and which are probably misspelt."""

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic_settings import BaseSettings

from shared.local import processes
from shared.runtime.settings_variables import SECRET, InvalidSettings, check, variable

if TYPE_CHECKING:
    from shared.local.settings import LocalSettings

PASSED_ON = re.compile(r"^(LIPSTAGE|OTEL|KAFKA|AWS|OMP)_")
"""Passed to every service and printed as exports."""
DEVICES = re.compile(r"^(CUDA_VISIBLE_DEVICES|CUDA_DEVICE_ORDER|NVIDIA_VISIBLE_DEVICES|PYTORCH_\w*ALLOC_CONF)$")
"""Passed to every service: visible accelerators, a MIG instance included, and the allocation of their memory."""
OURS = "LIPSTAGE_"
FOREIGN = "KAFKA_"
"""A prefix that other programs use as well: only a name that resembles one of ours is suspicious."""
SIMILAR = 0.8
"""Least similarity (difflib) of a misspelt name with one that is read."""


def passed_on(name: str) -> bool:
    """Whether a variable of the caller is written to the services' program files. Secrets are not: services inherit
    them."""
    return bool(PASSED_ON.match(name) or DEVICES.match(name)) and not SECRET.search(name)


def known() -> set[str]:
    """Every variable that a program of this project reads by itself."""
    from shared.local.settings import LocalSettings
    from shared.runtime.host.settings_models import all_models

    models: tuple[type[BaseSettings], ...] = (LocalSettings, *all_models())
    return {variable(model, name) for model in models for name in model.model_fields} | {processes.MARK}


def unknown(names: Iterable[str]) -> dict[str, str | None]:
    """The names that nothing reads, each with the nearest one that is read; None where none resembles it."""
    read = known()
    found: dict[str, str | None] = {}
    for name in sorted(names):
        # Names are read without regard to case.
        if name.upper() in read or not name.upper().startswith((OURS, FOREIGN)):
            continue
        nearest = next(iter(difflib.get_close_matches(name.upper(), read, 1, SIMILAR)), None)
        if nearest is not None or name.upper().startswith(OURS):
            found[name] = nearest
    return found


def read_settings() -> "LocalSettings":
    """The settings of the local stack, once every variable of every stage and engine has been checked.

    Raises InvalidSettings, with a line for each variable that can't be used.
    """
    from shared.local.settings import LocalSettings

    check_variables(LocalSettings)
    return LocalSettings()


def check_variables(*models: type[BaseSettings]) -> None:
    """Check every variable of services, stages and engines, and those of ``models``. Raises InvalidSettings."""
    from shared.runtime.host.settings_check import confinement_faults, named_faults
    from shared.runtime.host.settings_models import all_models

    if lines := [*check((*models, *all_models())), *named_faults(), *confinement_faults()]:
        raise InvalidSettings(dict.fromkeys(lines))
