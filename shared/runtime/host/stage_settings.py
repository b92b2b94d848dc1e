"""The settings of one stage's service, from the names that a command line gives."""

import os

from shared.messages.engines import ENGINE_PARAMS
from shared.messages.pipeline import RELAY, SERVICES, STAGES
from shared.runtime.host.settings_check import confinement_faults, named_faults, signer_faults, store_faults
from shared.runtime.host.settings_models import service_models
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settings_variables import InvalidSettings, check


class UnknownService(ValueError):
    """There is no such stage, no such engine, or the stage takes no engine."""


def stage_settings(stage: str, engine: str | None, in_this_process: bool = True) -> RuntimeSettings:
    """Settings of the service of ``stage``; ``engine`` is for infer, None keeps that of LIPSTAGE_ENGINE.

    ``in_this_process`` is false when another process, with variables that complete these, becomes the service: what
    the variables name is then checked there.

    Raises UnknownService, and InvalidSettings with every variable of the service and its workers that can't be used.
    """
    if stage not in SERVICES:
        raise UnknownService(f"there is no stage {stage!r}; stages are {', '.join(SERVICES)}")
    if stage != "infer" and engine is not None:
        raise UnknownService(f"--engine is for infer; {stage} serves every engine")
    if stage == "infer":
        engine = engine or os.environ.get("LIPSTAGE_ENGINE") or RuntimeSettings.model_fields["engine"].default
        if engine not in ENGINE_PARAMS:
            raise UnknownService(f"this build has no engine {engine!r}; engines are {', '.join(ENGINE_PARAMS)}")
    lines = check(service_models(stage, engine))
    if in_this_process:
        lines += named_faults(tenant_keys=stage != RELAY) + store_faults()
        lines += confinement_faults() if stage != RELAY else []
        lines += signer_faults() if stage == STAGES[-1] else []
    if lines:
        raise InvalidSettings(dict.fromkeys(lines))
    settings = RuntimeSettings()
    return settings if engine is None else settings.model_copy(update={"engine": engine})
