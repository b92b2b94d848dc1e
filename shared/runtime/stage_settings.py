"""The settings of one stage's service, from the names that a command line gives."""

from shared.messages.engines import ENGINE_PARAMS
from shared.messages.pipeline import STAGES
from shared.runtime.settings import RuntimeSettings


class UnknownService(ValueError):
    """There is no such stage, no such engine, or the stage takes no engine."""


def stage_settings(stage: str, engine: str | None) -> RuntimeSettings:
    """Settings of the service of ``stage``; ``engine`` is for infer, None keeps that of LIPSTAGE_ENGINE.

    Raises UnknownService, and ValidationError for variables that do not parse.
    """
    if stage not in STAGES:
        raise UnknownService(f"there is no stage {stage!r}; stages are {', '.join(STAGES)}")
    if stage != "infer" and engine is not None:
        raise UnknownService(f"--engine is for infer; {stage} serves every engine")
    settings = RuntimeSettings()
    if engine is not None:
        settings = settings.model_copy(update={"engine": engine})
    if stage == "infer" and settings.engine not in ENGINE_PARAMS:
        raise UnknownService(f"this build has no engine {settings.engine!r}; engines are {', '.join(ENGINE_PARAMS)}")
    return settings
