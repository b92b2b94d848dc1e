"""A proxy in the environment is not asked for anything on this machine."""

import pytest

from shared.local import no_proxy
from tests.cli.conftest import alone
from tests.conftest import Infrastructure

DEAD = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("own", "value"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "corp, 10.0.0.1"}, "corp,10.0.0.1,127.0.0.1,localhost,::1"),
        ({"no_proxy": "localhost", "NO_PROXY": "unread"}, "localhost,127.0.0.1,::1"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_entries_of_the_user_are_kept(own: dict[str, str], value: str) -> None:
    environment = dict(own)
    for _ in range(2):
        no_proxy.apply(environment)
        assert environment == {"no_proxy": value, "NO_PROXY": value}


def test_programs_of_the_stack_bypass_the_proxy(stack: Infrastructure) -> None:
    assert "127.0.0.1" in stack.stack.environment(None)["no_proxy"]


@pytest.mark.parametrize("names", [("HTTP_PROXY", "ALL_PROXY"), ("http_proxy", "all_proxy")])
def test_commands_work_with_a_dead_proxy(stack: Infrastructure, names: tuple[str, ...]) -> None:
    variables = dict.fromkeys(names, DEAD) | {"no_proxy": "corp", "NO_PROXY": "corp"}
    variables |= {"LIPSTAGE_STATE_DIR": str(stack.settings.state), "LIPSTAGE_JARS_DIR": str(stack.settings.jars)}
    assert alone("jobs", **variables).code == 0
    assert {part["healthy"] for part in alone("status", "--json", **variables).json} == {True}
    checks = {check["name"]: check["level"] for check in alone("doctor", "--json", **variables).json}
    assert (checks["store"], checks["traces"]) == ("ok", "ok")
    assert "export no_proxy=corp,127.0.0.1" in alone("config", "--env", **variables).out
