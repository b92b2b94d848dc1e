"""The gateway of the local stack: its port, its keys, what is refused, and a real one beside the session's broker."""

import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from shared.access import api_keys
from shared.local import extras, gateway, ports, preflight, services, stack_file
from shared.local import stack as local
from shared.local.doctor import doctor
from shared.local.errors import StackCode, StackError
from shared.local.program import Program
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack
from shared.local.status import status
from shared.messages.pipeline import GATEWAY, PROJECTION, SERVICES
from shared.runtime.settings_variables import InvalidSettings
from tests.cli.conftest import Lipstage

NONE = dict.fromkeys(SERVICES, 0)
"""No other service."""


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (gateway.KEYS_VARIABLE, gateway.PORT_VARIABLE, gateway.HOST_VARIABLE, gateway.GRAFANA_VARIABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def settings(tmp_path: Path) -> LocalSettings:
    return LocalSettings(state_dir=tmp_path / "state")


def add_key(path: Path) -> str:
    key, text = api_keys.make("acme", "user")
    with api_keys.changing(path) as keys:
        keys.append(key)
    return text


def started(settings: LocalSettings, **scale: int) -> tuple[Stack, dict[str, Program]]:
    """What `up` would run."""
    stack = stack_file.fresh(settings.state)
    stack.services = services.records(settings, stack, {**NONE, **scale})
    return stack, {record.stage: services.program(settings, stack, record) for record in stack.services}


def test_it_runs_where_it_is_asked_for_and_knows_the_projection(settings: LocalSettings) -> None:
    assert started(settings) == (stack_file.fresh(settings.state), {})
    stack, programs = started(settings, gateway=1, projection=1)
    assert stack.gateway is not None
    found = programs[GATEWAY]
    assert found.argv[-2:] == ("-m", "stages.gateway")
    assert (found.env["LIPSTAGE_GATEWAY_HOST"], found.env["LIPSTAGE_GATEWAY_PORT"]) == (
        ports.HOST,
        str(stack.gateway.port),
    )
    assert stack.gateway_url == f"http://127.0.0.1:{stack.gateway.port}"
    assert found.env["LIPSTAGE_PROJECTION_URL"].endswith(f":{programs[PROJECTION].env['LIPSTAGE_PROJECTION_PORT']}")
    numbers = [number for record in stack.services for number in (record.port, record.health_port)]
    assert len(set(numbers)) == 4


def test_links_lead_to_the_grafana_of_the_stack(settings: LocalSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    stack, programs = started(settings, gateway=1)
    assert gateway.GRAFANA_VARIABLE not in programs[GATEWAY].env
    stack.programs, stack.ports = {"grafana": Path("/usr/bin/grafana")}, {"grafana": 3000}
    assert stack.gateway is not None
    own = services.program(settings, stack, stack.gateway).env
    assert own[gateway.GRAFANA_VARIABLE] == "http://127.0.0.1:3000"
    monkeypatch.setenv(gateway.GRAFANA_VARIABLE, "https://grafana.example.com")
    assert (
        services.program(settings, stack, stack.gateway).env[gateway.GRAFANA_VARIABLE] == "https://grafana.example.com"
    )


def test_port_is_kept_and_a_configured_one_wins(settings: LocalSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    stack, _ = started(settings, gateway=1)
    again = services.records(settings, stack, {**NONE, GATEWAY: 1})
    assert again == stack.services
    monkeypatch.setenv(gateway.PORT_VARIABLE, "8123")
    assert services.records(settings, stack, {**NONE, GATEWAY: 1})[0].port == 8123


def test_keys_are_those_of_the_stack_once_there_are_some(
    settings: LocalSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert gateway.KEYS_VARIABLE not in started(settings, gateway=1)[1][GATEWAY].env
    add_key(settings.state / gateway.KEYS)
    own = started(settings, gateway=1)[1][GATEWAY].env
    assert own[gateway.KEYS_VARIABLE] == str(settings.state / gateway.KEYS)
    monkeypatch.setenv(gateway.KEYS_VARIABLE, str(tmp_path / "others.jsonl"))
    assert started(settings, gateway=1)[1][GATEWAY].env[gateway.KEYS_VARIABLE] == str(tmp_path / "others.jsonl")


def test_keys_may_be_made_before_the_first_start(settings: LocalSettings) -> None:
    add_key(settings.state / gateway.KEYS)
    preflight.check_folder(settings)


@pytest.mark.parametrize("content", [None, "{}"])
def test_keys_that_cant_be_read_are_refused_before_anything_changes(
    settings: LocalSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "keys.jsonl"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv(gateway.KEYS_VARIABLE, str(path))
    with pytest.raises(InvalidSettings, match=gateway.KEYS_VARIABLE):
        preflight.check_gateway(settings, stack_file.fresh(settings.state), {GATEWAY: 1})
    preflight.check_gateway(settings, stack_file.fresh(settings.state), {})


def test_port_of_another_program_is_refused(settings: LocalSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind((ports.HOST, 0))
        other.listen()
        monkeypatch.setenv(gateway.PORT_VARIABLE, str(other.getsockname()[1]))
        with pytest.raises(StackError, match="for the gateway is taken") as refused:
            preflight.check_gateway(settings, stack_file.fresh(settings.state), {GATEWAY: 1})
    assert refused.value.code == StackCode.PORT_TAKEN


def test_two_gateways_and_missing_packages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StackError, match="gateway=2: the stack has one address; 0 or 1"):
        services.check_scale({GATEWAY: 2})
    monkeypatch.setattr(extras, "missing", lambda extra: ["uvicorn"] if extra == GATEWAY else [])
    with pytest.raises(StackError, match="gateway=1: the Python package uvicorn is not installed: run"):
        services.check_scale({GATEWAY: 1})


def answer(url: str, key: str | None = None) -> int:
    request = urllib.request.Request(
        f"{url}/v1/renders/no%20id", headers={"authorization": f"Bearer {key}"} if key else {}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answered:
            return int(answered.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_up_runs_it_and_keys_restart_it_and_no_gateway_ends_it(
    own: LocalSettings, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lipstage = Lipstage()
    monkeypatch.setenv("LIPSTAGE_STATE_DIR", str(own.state))
    monkeypatch.setenv("LIPSTAGE_TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    others = [word for stage in SERVICES for word in ("--scale", f"{stage}=0")]
    ran = lipstage("up", "--gateway", "--json", *others)
    assert ran.code == 0, ran.err
    url = ran.json[GATEWAY]
    assert answer(url) == 422, "without keys"
    (part,) = [part for part in lipstage("status", "--json").json if part["name"] == "gateway-0"]
    assert (part["healthy"], part["lag"], url) == (True, None, f"http://127.0.0.1:{part['port']}")
    assert "webhooks-0" in [part["name"] for part in lipstage("status", "--json").json]
    (row,) = [check for check in doctor(LocalSettings()) if check.name == GATEWAY]
    assert (row.level, row.result) == ("ok", f"{url} asks for no API key: `lipstage keys create` makes one")

    made = lipstage("keys", "create", "--tenant", "acme")
    assert "`lipstage up` has it ask for one" in made.err
    again = lipstage("up", "--json")
    assert (again.code, again.json[GATEWAY]) == (0, url), "kept by later calls, with its port"
    assert (answer(url), answer(url, made.out.strip())) == (401, 422)
    assert "has it ask" not in lipstage("keys", "create").err

    ended = lipstage("up", "--no-gateway", "--json")
    assert (ended.code, GATEWAY in ended.json) == (0, False)
    assert not {"gateway-0", "webhooks-0"} & {part.name for part in status(LocalSettings())}
    running = local.running(LocalSettings())
    assert running is not None
    assert not running.gateway_url
