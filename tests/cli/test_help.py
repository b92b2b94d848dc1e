"""The help of commands that take ``--set`` lists every name, with its range and default."""

import re

import pytest

from shared.cli import parameters
from shared.client.request_fields import OWN_ARGUMENTS, SECTIONS, resolve
from shared.messages.engines import ENGINE_PARAMS
from shared.messages.request import Params, RenderRequest
from tests.cli.conftest import Lipstage
from tests.cli.terminal import on_terminal


@pytest.mark.parametrize("command", ["render", "submit"])
def test_help_lists_the_parameters_of_every_engine(
    lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = " ".join(lipstage(command, "--help").out.split())
    for model in (Params, *ENGINE_PARAMS.values()):
        for name in model.model_fields:
            assert f" {name} " in text, name
    assert "inference_steps Denoising steps of a diffusion engine. [a whole number, 1 to 100; default: 25]" in text
    assert "head_motion Scale of idle head motion; 0 keeps it still. [a number, 0 to 2; default: 1.0]" in text
    assert (
        "lane At every stage interactive jobs start before bulk ones. [interactive or bulk; default: interactive]"
        in text
    )
    assert "deadline_s Seconds after which the result has no use. [a number, 1 to 604800]" in text


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("command", ["render", "submit", "fetch", "eval"])
def test_help_fits_the_terminal(columns: int, command: str) -> None:
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", on_terminal([command, "--help"], columns))
    assert max(len(line.rstrip("\r")) for line in shown.split("\n")) <= columns
    assert f"Usage: lipstage {command}" in shown
    assert ("╭─ Parameters of the engine sonic ─" in shown) == (command in ("render", "submit"))
    assert ("│ audio_guidance " in shown) == (command in ("render", "submit"))


def test_every_listed_name_is_one_that_set_takes() -> None:
    assert set(parameters.FIELDS) == {*RenderRequest.model_fields} - {*OWN_ARGUMENTS, *SECTIONS}
    for engine, model in ENGINE_PARAMS.items():
        names = [one.name for group in parameters.groups(engine).values() for one in group]
        assert set(model.model_fields) | set(Params.model_fields) <= set(names)
        for name in names:
            assert resolve(name, engine)[-1] == name.rpartition(".")[2]
