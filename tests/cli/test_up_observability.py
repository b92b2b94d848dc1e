"""What `lipstage up --observability` asks for and prints; the stack itself is tested in tests/local."""

from pathlib import Path
from typing import Any

import pytest

from shared.local import stack as local
from shared.local import stack_file
from shared.local.stack_file import Stack
from tests.cli.conftest import Lipstage


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Replaces the start by one that records its arguments and finds Tempo alone."""
    asked: dict[str, Any] = {}

    def up(*_: object, **options: object) -> Stack:
        asked.update(options)
        stack = stack_file.fresh(tmp_path)
        stack.observability = bool(options["with_observability"])
        stack.programs = {"tempo": Path("/usr/bin/tempo")} if stack.observability else {}
        stack.ports = {"tempo": 3200}
        return stack

    monkeypatch.setattr(local, "up", up)
    return asked


@pytest.mark.parametrize(
    ("option", "asked"), [((), None), (("--observability",), True), (("--no-observability",), False)]
)
def test_option_is_kept_unless_given(
    started: dict[str, Any], lipstage: Lipstage, option: tuple[str, ...], asked: bool | None
) -> None:
    assert lipstage("up", *option).code == 0
    assert started["with_observability"] is asked


def test_addresses_are_printed_and_missing_parts_are_in_the_json(started: dict[str, Any], lipstage: Lipstage) -> None:
    assert ["tempo", "http://127.0.0.1:3200"] in [
        line.split() for line in lipstage("up", "--observability").out.splitlines()
    ]
    printed = lipstage("up", "--observability", "--json").json
    assert printed["tempo"] == "http://127.0.0.1:3200"
    assert set(printed["missing"]) == {"prometheus", "grafana"}
