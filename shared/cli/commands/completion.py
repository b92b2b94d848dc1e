"""Values that the shell completes. Everything is imported when it is asked for, because every command imports this."""

from typing import Any


def engines(incomplete: str) -> list[str]:
    """Names of engines."""
    from shared.messages.engines import ENGINES

    return [name for name in ENGINES if name.startswith(incomplete)]


def stages(incomplete: str) -> list[str]:
    """Names of stages."""
    from shared.messages.pipeline import OPTIONAL, SERVICES

    return [name for name in (*SERVICES, *OPTIONAL) if name.startswith(incomplete)]


def roles(incomplete: str) -> list[str]:
    """Roles of API keys."""
    from shared.access.api_keys import ROLES

    return [name for name in ROLES if name.startswith(incomplete)]


def parameters(ctx: Any, incomplete: str) -> list[tuple[str, str]]:
    """Names that ``--set`` takes for the engine of the command line, each with its meaning."""
    from shared.cli.parameters import groups
    from shared.messages.engines import DEFAULT_ENGINE

    return [
        (f"{one.name}=", one.text)
        for group in groups(ctx.params.get("engine") or DEFAULT_ENGINE).values()
        for one in group
        if one.name.startswith(incomplete)
    ]
