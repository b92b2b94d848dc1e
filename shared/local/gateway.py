"""The gateway of the local stack: ``up --gateway``. On loopback, with the API keys of `lipstage keys` once there are
some."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from shared.local import ports
from shared.local.errors import StackCode, StackError
from shared.runtime.settings_variables import InvalidSettings, load_model, unusable

KEYS = "gateway-keys.jsonl"
"""File of the local stack's API keys, in its state folder."""
KEYS_VARIABLE, PORT_VARIABLE = "LIPSTAGE_GATEWAY_KEYS_FILE", "LIPSTAGE_GATEWAY_PORT"
HOST_VARIABLE, GRAFANA_VARIABLE = "LIPSTAGE_GATEWAY_HOST", "LIPSTAGE_GATEWAY_GRAFANA_URL"
MODULE = "stages.gateway"


def keys_file(environment: Mapping[str, str], state: Path) -> Path:
    """The file of API keys that the environment names, else that of the local stack; it need not exist."""
    named = environment.get(KEYS_VARIABLE)
    return Path(named).expanduser().absolute() if named else state / KEYS


def keys_in_use(environment: Mapping[str, str], state: Path) -> Path | None:
    """The file that a gateway of the stack gets; None: there is none, and it asks for no keys."""
    path = keys_file(environment, state)
    return path if environment.get(KEYS_VARIABLE) or path.exists() else None


def configured_port() -> int:
    """The port that the environment names; 0 where it names none. Raises ValidationError."""
    options = load_model("stages.gateway.settings:GatewaySettings")()
    return cast("int", cast("Any", options).port) if "port" in options.model_fields_set else 0


def check(state: Path, current: int | None) -> None:
    """Whether a gateway can start. ``current``: the port of the one that runs.

    Raises StackError (PORT_TAKEN), InvalidSettings for keys that can't be read.
    """
    port = configured_port()
    if port and port != current and not ports.is_free(port):
        raise StackError(StackCode.PORT_TAKEN, f"port {port} for the gateway is taken by another program; set"
                         f" {PORT_VARIABLE} to another, or to 0 for any free one")  # fmt: skip
    if (keys := keys_in_use(os.environ, state)) is not None:
        from shared.access import api_keys  # Too slow for a question about the stack.

        try:
            api_keys.read(keys)
        except (OSError, ValueError) as error:
            raise InvalidSettings([unusable(KEYS_VARIABLE, error)]) from None


def variables(port: int, keys: Path | None, grafana_url: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What a gateway of the stack gets beside what every service has. ``grafana_url``: of the stack; empty: none."""
    grafana = environment.get(GRAFANA_VARIABLE) or grafana_url
    return {
        HOST_VARIABLE: environment.get(HOST_VARIABLE) or ports.HOST,
        PORT_VARIABLE: str(port),
        **({KEYS_VARIABLE: str(keys)} if keys is not None else {}),
        **({GRAFANA_VARIABLE: grafana} if grafana else {}),
    }
