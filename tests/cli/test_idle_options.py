"""An option that would have no effect is refused, before anything is contacted."""

from pathlib import Path

import pytest

from tests.cli.conftest import Lipstage

pytestmark = pytest.mark.usefixtures("nowhere")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["watch", "--batch", "b", "--wait"], "--wait has no effect for a batch"),
        (["cancel", "--batch", "b", "--wait"], "--wait has no effect for a batch"),
        (["cancel", "--batch", "b", "--force"], "--force has no effect for a batch"),
        (["fetch", "j", "-o", "x.mp4", "--name-by", "take"], "--name-by has no effect for one job"),
        (["fetch", "j", "-o", "x.mp4", "--name-by", ""], "--name-by has no effect for one job"),
        (["erase", "j", "--scan", "400000"], "--scan has no effect for named jobs"),
        (["erase", "j", "--yes"], "--yes has no effect for named jobs"),
        (["erase", "--batch", "b", "--yes"], "--yes has no effect for a batch"),
        (["erase", "--tenant", "t", "--all-tenants"], "--all-tenants has no effect without --owner"),
        (["erase", "--owner", "o", "--scan", "9"], "--scan has no effect for an owner, a tenant or a file"),
    ],
)
def test_an_option_without_effect_is_refused(lipstage: Lipstage, arguments: list[str], words: str) -> None:
    ran = lipstage(*arguments)
    assert (ran.code, words in ran.err) == (2, True), ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["watch", "j", "--wait"],
        ["cancel", "j", "--wait"],
        ["cancel", "j", "--force"],
        ["fetch", "--batch", "b", "-o", "videos", "--name-by", "take"],
        ["erase", "--batch", "b", "--scan", "9"],
        ["erase", "j"],
        ["erase", "j", "k", "--force"],
        ["erase", "--owner", "ann@x.org", "--yes"],
        ["erase", "--tenant", "acme", "--yes"],
    ],
)
def test_the_same_option_is_accepted_where_it_has_one(
    lipstage: Lipstage, arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert lipstage(*arguments).code == 3, "no deployment answers"


@pytest.mark.parametrize("output", ["-", "/dev/stdout", ""])
def test_a_batch_is_not_fetched_to_stdout(
    lipstage: Lipstage, output: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = lipstage("fetch", "--batch", "b", "-o", output)
    assert (ran.code, "the videos of a batch are files in a folder" in ran.err) == (2, True)
    assert not list(tmp_path.iterdir())
