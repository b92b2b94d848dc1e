"""The environment variables of settings models: their names, and messages for values that can't be used."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from types import UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsError

Settings = TypeVar("Settings", bound=BaseSettings)

SECRET = re.compile(r"SECRET|PASSWORD|TOKEN|ACCESS_KEY|SESSION|_KEY$|HEADERS|CREDENTIAL", re.IGNORECASE)
"""Names of variables whose values are never printed."""
USER_IN_URL = re.compile(r"(?<=://).*@|^(?!\w+://)[^/]*:.*@", re.DOTALL)
QUERY = re.compile(r"(?<=://)([^?]*\?).+", re.DOTALL)
MAX_SHOWN = 60
"""Characters of a value in a message."""
KINDS = {bool: "true or false", int: "a whole number", float: "a number"}
OUT_OF_RANGE = re.compile(r"^(int|float|bool|decimal)_|^(greater|less)_than|^finite_number$|^literal_error$")
"""Types of pydantic's errors that the allowed values explain better than pydantic's own text."""


class InvalidSettings(ValueError):
    """Variables that can't be used; ``lines`` has one line for each."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


def variable(model: type[BaseSettings], name: str) -> str:
    """The environment variable of the field ``name``."""
    alias = model.model_fields[name].validation_alias
    choices = [str(choice) for choice in getattr(alias, "choices", [alias]) if choice]
    return choices[0] if choices else f"{model.model_config.get('env_prefix', '')}{name.upper()}"


def variables_of(model: type[BaseSettings]) -> list[str]:
    """The environment variables of all fields."""
    return [variable(model, name) for name in model.model_fields]


def load_model(name: str) -> type[BaseSettings]:
    """The settings model that ``module:class`` names."""
    module, _, attribute = name.partition(":")
    return cast("type[BaseSettings]", getattr(import_module(module), attribute))


def read(model: type[Settings], environment: Mapping[str, str]) -> Settings:
    """The settings of a process with this environment. Raises ValidationError, and ValueError for what is not JSON."""
    values: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        text = environment.get(variable(model, name))
        if text is not None and text != os.environ.get(variable(model, name)):
            values[name] = json.loads(text) if get_origin(field.annotation) is dict else text
    return model(**values)


def check(models: Iterable[type[BaseSettings]]) -> list[str]:
    """Read the variables of every model; one line for each that can't be used."""
    models, lines = tuple(models), []
    for model in models:
        try:
            model()
        except ValueError as error:
            lines += faults(error, models)
    return list(dict.fromkeys(lines))


def faults(error: ValueError, models: Iterable[type[BaseSettings]]) -> list[str]:
    """One line for each variable of ``models`` that ``error`` concerns: its value unless that is a secret, and what is
    allowed. Empty for other errors."""
    if isinstance(error, InvalidSettings):
        return list(error.lines)
    by_name = {model.model_config.get("title") or model.__name__: model for model in models}
    if isinstance(error, SettingsError):
        # Its message quotes the field: error parsing value for field "input_buckets" from source ...
        name = str(error).partition('"')[2].partition('"')[0]
        named = [variable(model, name) for model in by_name.values() if name in model.model_fields][:1]
        return [f"{assignment(one)}: must be JSON" for one in named]
    if not isinstance(error, ValidationError) or error.title not in by_name:
        return []
    return [_fault(by_name[error.title], one) for one in error.errors(include_url=False, include_input=False)]


def only(model: type[Settings], *names: str) -> Settings:
    """The settings with the fields ``names`` read and defaults for all others: another variable can't spoil them.

    Raises ValidationError for one of these.
    """
    others = {name: field.get_default(call_default_factory=True) for name, field in model.model_fields.items()
              if name not in names}  # fmt: skip
    return model(**others)


def unusable(name: str, error: Exception) -> str:
    """The line for a variable whose value is of the right form and can't be used."""
    return f"{assignment(name)}: {(error.strerror if isinstance(error, OSError) else None) or error}"


def assignment(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """``NAME=value`` as it is set, cut to one short line; the name alone for a secret and for a variable not set."""
    value = environment.get(name)
    if value is None or SECRET.search(name):
        return name
    value = without_secrets(value)
    text = value if value.isprintable() else ascii(value)[1:-1]
    return f"{name}={text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + '...'}"


def without_secrets(value: str) -> str:
    """A variable's value as it may be printed: a URL without its user, password and query."""
    return QUERY.sub(r"\1...", USER_IN_URL.sub("", value))


def allowed(field: FieldInfo) -> str:
    """What a field accepts, with its range: ``a whole number, 1 to 64``; empty where its type does not say."""
    kind = field.annotation
    if get_origin(kind) in (Union, UnionType):
        kind = next(one for one in get_args(kind) if one is not type(None))
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    name = KINDS.get(kind) if isinstance(kind, type) else None
    return ", ".join(filter(None, [name, _range(field)])) if name else ""


def _range(field: FieldInfo) -> str:
    limits = {name: value for one in field.metadata for name in ("ge", "gt", "le", "lt")
              if (value := getattr(one, name, None)) is not None}  # fmt: skip
    if "ge" in limits and "le" in limits:
        return f"{limits['ge']} to {limits['le']}"
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    return ", ".join(f"{words[name]} {limits[name]}" for name in words if name in limits)


def _fault(model: type[BaseSettings], one: Any) -> str:
    message = one["msg"].removeprefix("Value error, ")
    if not one["loc"]:
        return str(message)  # The whole model is wrong; the message names the variables.
    field, name = _located(model, str(one["loc"][0]))
    if field is not None and OUT_OF_RANGE.search(one["type"]) and (text := allowed(field)):
        message = f"must be {text}"
    return f"{assignment(name)}: {message}"


def _located(model: type[BaseSettings], name: str) -> tuple[FieldInfo | None, str]:
    """The field at the location of an error, which is its name or its alias, and its variable."""
    for field_name, field in model.model_fields.items():
        if name in (field_name, variable(model, field_name)):
            return field, variable(model, field_name)
    return None, name
