"""The environment variables of settings models: their names, and messages for those that do not parse."""

from collections.abc import Iterable

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsError


def variable(model: type[BaseSettings], name: str) -> str:
    """The environment variable of the field ``name``."""
    alias = model.model_fields[name].validation_alias
    choices = [str(choice) for choice in getattr(alias, "choices", [alias]) if choice]
    return choices[0] if choices else f"{model.model_config.get('env_prefix', '')}{name.upper()}"


def faults(error: ValueError, models: Iterable[type[BaseSettings]]) -> list[str]:
    """One line, without the value, for each variable of ``models`` that ``error`` concerns; empty for other errors."""
    by_name = {model.model_config.get("title") or model.__name__: model for model in models}
    if isinstance(error, SettingsError):
        # Its message quotes the field: error parsing value for field "input_buckets" from source ...
        name = str(error).partition('"')[2].partition('"')[0]
        return [f"{variable(model, name)} is not JSON" for model in by_name.values() if name in model.model_fields][:1]
    if not isinstance(error, ValidationError) or error.title not in by_name:
        return []
    model = by_name[error.title]
    return [
        ": ".join(filter(None, [_located(model, *map(str, one["loc"])), one["msg"].removeprefix("Value error, ")]))
        for one in error.errors(include_url=False, include_input=False)
    ]


def _located(model: type[BaseSettings], name: str = "", *_: str) -> str:
    """The variable at the location of an error: a field's or the alias itself; empty when the whole model is wrong."""
    return variable(model, name) if name in model.model_fields else name
