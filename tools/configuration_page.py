"""docs/configuration.md from the settings models: ``python -m tools.configuration_page [--check]``."""

import sys
from pathlib import Path

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from shared.local.engine_weights import WeightsSettings
from shared.local.settings import LocalSettings
from shared.runtime.settings import RuntimeSettings
from shared.storage.settings import StorageSettings
from stages.audio.settings import AudioSettings
from stages.encode.settings import EncodeSettings
from stages.infer.sonic.settings import SonicSettings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"
PARTS: dict[str, type[BaseSettings]] = {
    "Every stage service": RuntimeSettings,
    "Storage": StorageSettings,
    "Audio stage": AudioSettings,
    "Encode stage": EncodeSettings,
    "Weights that are not shipped": WeightsSettings,
    "Engine sonic": SonicSettings,
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
    for title, model in PARTS.items():
        lines += [f"## {title}\n", "| variable | default | meaning |", "| --- | --- | --- |"]
        prefix = model.model_config.get("env_prefix", "")
        for name, field in model.model_fields.items():
            if field.exclude:
                continue  # Another model's to tell.
            shown = f"`{default(field)}`" if default(field) else ""
            lines.append(
                f"| `{variable(name, field, prefix)}` | {shown} | {field.description or name.replace('_', ' ')} |"
            )
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    """Write the page, or compare it; 1 when it differs."""
    if "--check" in sys.argv[1:]:
        return int(not PAGE.is_file() or PAGE.read_text() != page())
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
