"""docs/configuration.md from the settings models: ``python -m tools.configuration_page [--check]``."""

import sys
from importlib import import_module
from pathlib import Path

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from shared.local.engine_settings import engine_specs, settings_model
from shared.local.engine_weights import WeightsSettings
from shared.local.settings import LocalSettings
from shared.runtime.settings import RuntimeSettings
from shared.storage.settings import StorageSettings
from stages.audio.settings import AudioSettings
from stages.encode.settings import EncodeSettings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"
PARTS: dict[str, type[BaseSettings]] = {
    "Every stage service": RuntimeSettings,
    "Storage": StorageSettings,
    "Audio stage": AudioSettings,
    "Encode stage": EncodeSettings,
    "Weights that are not shipped": WeightsSettings,
    "Local stack": LocalSettings,
}
HEAD = """# Configuration

Environment variables; boto3's (`AWS_*`) and OpenTelemetry's (`OTEL_*`) keep their own names. `lipstage config` shows
those in force. This page is generated: `python -m tools.configuration_page`.
"""


def variable(name: str, field: FieldInfo, prefix: str = "LIPSTAGE_") -> str:
    """The environment variable of a field."""
    alias = field.validation_alias
    choices = [str(choice) for choice in getattr(alias, "choices", [alias]) if choice]
    return choices[0] if choices else f"{prefix}{name.upper()}"


def default(field: FieldInfo) -> str:
    """The default as it would be written in the environment; empty for none."""
    value = field.get_default(call_default_factory=True)
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return str(value).replace("'", '"')
    return "" if value is None else str(value)


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    for title, models in {**{title: [model] for title, model in PARTS.items()}, **_engines()}.items():
        lines += [f"## {title}\n", "| variable | default | meaning |", "| --- | --- | --- |"]
        lines += [row for model in models for row in _rows(model)]
        lines.append("")
    return "\n".join(lines)


def _engines() -> dict[str, list[type[BaseSettings]]]:
    """The settings models of every engine that has settings, by title."""
    parts = {}
    for name, spec in engine_specs().items():
        if spec.settings is not None:
            module, _, attribute = spec.settings.partition(":")
            parts[f"Engine {name}"] = [settings_model(name), getattr(import_module(module), attribute)]
    return parts


def _rows(model: type[BaseSettings]) -> list[str]:
    """One table row per variable; a field that is excluded is another model's."""
    prefix = model.model_config.get("env_prefix", "")
    rows = []
    for name, field in model.model_fields.items():
        if not field.exclude:
            shown = f"`{default(field)}`" if default(field) else ""
            meaning = field.description or name.replace("_", " ")
            rows.append(f"| `{variable(name, field, prefix)}` | {shown} | {meaning} |")
    return rows


def main() -> int:
    """Write the page, or compare it; 1 when it differs."""
    if "--check" in sys.argv[1:]:
        return int(not PAGE.is_file() or PAGE.read_text() != page())
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
