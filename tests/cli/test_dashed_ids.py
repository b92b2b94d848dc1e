"""Ids that begin with a dash are as good as others, in every command and option that takes one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from shared.cli import dashed_ids
from shared.cli.main import app
from tests.cli.conftest import Lipstage

COMMAND = typer.main.get_command(app)
ID = "-V1StGXR8_Z5jdHi6B-myT"


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def is_job(param: Any) -> bool:
    """Whether the parameter is an argument that takes a job id, not an option such as `dlq ls --job`."""
    return param.name == "job" and param.param_type_name == "argument"


TAKE_JOB = {path: command for path, command in commands(COMMAND) if any(map(is_job, command.params))}


def needed(command: Any, tmp_path: Path) -> list[str]:
    """The options that the command can't do without."""
    required = [param for param in command.params if param.required and param.param_type_name == "option"]
    return [text for param in required for text in (param.opts[0], str(tmp_path / "x.mp4"))]


def test_every_command_about_one_job_is_covered() -> None:
    assert {("watch",), ("job",), ("cancel",), ("fetch",), ("erase",), ("trace",)} <= TAKE_JOB.keys()
    assert all(param.metavar == dashed_ids.JOB for c in TAKE_JOB.values() for param in c.params if is_job(param))


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("path", TAKE_JOB)
@pytest.mark.parametrize("form", ["plain", "separated", "before options", "after options"])
def test_id_that_begins_with_a_dash_names_the_job(
    lipstage: Lipstage, tmp_path: Path, path: tuple[str, ...], form: str
) -> None:
    options = needed(TAKE_JOB[path], tmp_path)
    arguments = {
        "plain": [ID, *options],
        "separated": [*options, "--", ID],
        "before options": [ID, "--tenant", "acme", *options],
        "after options": [*options, "--tenant=acme", ID],
    }[form]
    ran = lipstage(*path, *arguments)
    assert (ran.code, "no stack is running" in ran.err) == (3, True), ran.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-V1"], ["--", "-V1"]),
        (["--tenant", "-x", "-V1", "--json"], ["--tenant", "-x", "--json", "--", "-V1"]),
        (["--", "-V1"], ["--", "-V1"]),
        (["--json", "--", "--json"], ["--json", "--", "--json"]),
        (["a", "-V1"], ["a", "-V1"]),  # The job is named: the other is a wrong option.
        (["-V1", "-V2"], ["-V1", "-V2"]),
        (["--jsno"], ["--jsno"]),
        (["--tenat", "x"], ["--tenat", "x"]),
        (["-h"], ["-h"]),
        (["--json"], ["--json"]),
        (["-V1=x"], ["-V1=x"]),
        (["-"], ["-"]),
        (["-" * 65], ["-" * 65]),
    ],
)
def test_only_an_id_that_is_clearly_one_is_taken_for_the_job(arguments: list[str], expected: list[str]) -> None:
    command = TAKE_JOB[("trace",)]
    context: Any = typer.Context(command)
    context.help_option_names = ["-h", "--help"]
    assert dashed_ids.protect(command, context, arguments) == expected


def test_value_attached_to_a_short_option_is_not_the_job(lipstage: Lipstage) -> None:
    ran = lipstage("fetch", "-oa-name-of-a-file")
    assert (ran.code, "name one job, or a batch" in ran.err) == (2, True)


@pytest.mark.usefixtures("nowhere")
def test_option_takes_such_an_id(lipstage: Lipstage) -> None:
    ran = lipstage("dlq", "ls", "--job", ID)
    assert (ran.code, "no stack is running" in ran.err) == (3, True), ran.err


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("form", [["--job-id", ID], [f"--job-id={ID}"]])
def test_new_job_may_have_such_an_id(
    lipstage: Lipstage, portrait: Path, speech: Path, tmp_path: Path, form: list[str]
) -> None:
    for command in (["render", portrait, speech, "-o", tmp_path / "x.mp4"], ["submit", portrait, speech]):
        ran = lipstage(*command, *form)
        assert (ran.code, "no stack is running" in ran.err) == (3, True), ran.err
