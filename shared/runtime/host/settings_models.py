"""The settings models that services read: those of the runtime, and those that stages and engines declare."""

from importlib import import_module
from typing import cast

from pydantic_settings import BaseSettings

from shared.messages.engines import ENGINES
from shared.messages.pipeline import PIPELINE, RELAY, step
from shared.runtime.engine_settings import settings_model
from shared.runtime.fault_settings import FaultSettings
from shared.runtime.host.weights_settings import WeightsSettings
from shared.runtime.policy_settings import PolicySettings
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settings_variables import load_model
from shared.runtime.tenant_settings import TenantSettings
from shared.slot.engines import engine_spec
from shared.slot.spec import StageSpec
from shared.storage.settings import StorageSettings
from shared.telemetry.settings import TelemetrySettings

Model = type[BaseSettings]


def service_models(stage: str, engine: str | None) -> tuple[Model, ...]:
    """The models that one service and its workers read; ``engine`` is for infer."""
    models: tuple[Model, ...] = (
        RuntimeSettings,
        TenantSettings,
        StorageSettings,
        TelemetrySettings,
        FaultSettings,
        PolicySettings,
        *stage_models(stage),
    )
    return (*models, WeightsSettings, *engine_models(engine)) if engine is not None else models


def all_models() -> tuple[Model, ...]:
    """The models of every stage and engine, of the projection, of the gateway and of its webhooks."""
    stages = [model for step in PIPELINE for model in stage_models(step.name)]
    engines = [model for engine in ENGINES for model in engine_models(engine)]
    services = map(
        load_model,
        (
            "stages.gateway.projection.settings:ProjectionSettings",
            "stages.gateway.settings:GatewaySettings",
            "stages.gateway.webhooks.settings:WebhookSettings",
        ),
    )
    of_all = (RuntimeSettings, TenantSettings, StorageSettings, TelemetrySettings, FaultSettings)
    models = (*of_all, PolicySettings, WeightsSettings)
    return *models, *stages, *engines, *services


def stage_models(stage: str) -> tuple[Model, ...]:
    """The model that a stage declares, if any; the relay has none. Raises KeyError for an unknown stage."""
    if stage == RELAY:
        return ()
    spec = cast("StageSpec", import_module(step(stage).module).STAGE)
    return () if spec.settings is None else (load_model(spec.settings),)


def engine_models(engine: str) -> tuple[Model, ...]:
    """The models of an engine that has settings: paths of its weights and its Python, and what it declares itself.

    Raises ValueError for an unknown engine.
    """
    declared = engine_spec(engine).settings
    return () if declared is None else (settings_model(engine), load_model(declared))
