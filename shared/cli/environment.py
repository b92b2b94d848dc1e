"""Environment variables that can't be read, said in one line each."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

HINT = "correct or unset it; docs/configuration.md lists all variables"


def faults(error: ValueError) -> list[str]:
    """What a settings model found wrong, a line per variable; nothing for any other error."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    models = _models()
    if isinstance(error, SettingsError):
        # Its message quotes the field: error parsing value for field "input_buckets" from source ...
        name = str(error).partition('"')[2].partition('"')[0]
        return [f"{_variable(model, name)} is no JSON" for model in models.values() if name in model.model_fields][:1]
    if not isinstance(error, ValidationError) or error.title not in models:
        return []
    model = models[error.title]
    return [
        ": ".join(filter(None, [_variable(model, *map(str, one["loc"])), one["msg"].removeprefix("Value error, ")]))
        for one in error.errors(include_url=False, include_input=False)
    ]


def _models() -> "dict[str, type[BaseSettings]]":
    from shared.local.engine_settings import settings_model
    from shared.local.engine_weights import WeightsSettings
    from shared.local.settings import LocalSettings
    from shared.messages.engines import ENGINES
    from shared.runtime.settings import RuntimeSettings
    from shared.storage.settings import StorageSettings

    models: list[type[BaseSettings]] = [LocalSettings, RuntimeSettings, StorageSettings, WeightsSettings]
    models += map(settings_model, ENGINES)
    return {model.model_config.get("title") or model.__name__: model for model in models}


def _variable(model: "type[BaseSettings]", name: str = "", *_: str) -> str:
    """The variable behind the place of an error: its own name, a field's, or none when the whole does not fit."""
    prefix = model.model_config.get("env_prefix") or ""
    return f"{prefix}{name.upper()}" if name in model.model_fields else name
