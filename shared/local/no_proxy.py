"""Keeps requests to this machine away from an HTTP proxy, which would look for them on itself."""

from collections.abc import Mapping, MutableMapping

HOSTS = ("127.0.0.1", "localhost", "::1")
NAMES = ("no_proxy", "NO_PROXY")
"""Programs read either; where they read both, the first wins."""


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Both variables for a program with this environment: its own entries, and this machine."""
    own = next((environment[name] for name in NAMES if environment.get(name)), "")
    entries = [entry.strip() for entry in own.split(",") if entry.strip()]
    value = own if "*" in entries else ",".join(dict.fromkeys([*entries, *HOSTS]))
    return dict.fromkeys(NAMES, value)


def apply(environment: MutableMapping[str, str]) -> None:
    """Set both variables, for this process and the programs that it starts."""
    environment.update(variables(environment))


def is_needed(environment: Mapping[str, str]) -> bool:
    """Whether a proxy is named."""
    return any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in environment)
