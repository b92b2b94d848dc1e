"""An error that is found on this machine ends with code 2 and a helpful sentence, and contacts nothing."""

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Lipstage

pytestmark = pytest.mark.usefixtures("nowhere")


def test_a_missing_file_is_reported_with_the_nearest_name(lipstage: Lipstage, portrait: Path, speech: Path) -> None:
    ran = lipstage("render", portrait.with_name("portrat.png"), speech, "-o", "x.mp4")
    assert ran.code == 2
    assert "portrat.png does not exist" in ran.err
    assert f"did you mean {portrait}" in ran.err


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p.mkdir(), "is a directory"),
        (lambda p: p.touch(), "is empty"),
        (lambda p: os.mkfifo(p), "not a regular file"),
    ],
)
def test_a_path_that_is_no_whole_file_is_refused(
    lipstage: Lipstage, portrait: Path, tmp_path: Path, make: object, words: str
) -> None:
    bad = tmp_path / "bad.wav"
    make(bad)  # type: ignore[operator]
    ran = lipstage("render", portrait, bad, "-o", tmp_path / "x.mp4")
    assert ran.code == 2
    assert words in ran.err


def test_a_file_that_is_too_large_is_refused(
    lipstage: Lipstage, speech: Path, portrait: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LIPSTAGE_MAX_PORTRAIT_MB", "1")
    with portrait.open("wb") as file:
        file.truncate(1024 * 1024 + 1)
    ran = lipstage("render", portrait, speech, "-o", tmp_path / "x.mp4")
    assert ran.code == 2
    assert "at most 1 MiB" in ran.err


def test_an_output_that_is_a_directory_is_refused(
    lipstage: Lipstage, portrait: Path, speech: Path, tmp_path: Path
) -> None:
    ran = lipstage("render", portrait, speech, "-o", tmp_path)
    assert ran.code == 2
    assert "name a file in it" in ran.err


def test_good_files_without_a_stack_are_code_3(
    lipstage: Lipstage, portrait: Path, speech: Path, tmp_path: Path
) -> None:
    ran = lipstage("render", portrait, speech, "-o", tmp_path / "x.mp4")
    assert ran.code == 3
    assert "lipstage up" in ran.err


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("inference_steps=0", "params.inference_steps must be a whole number, 1 to 100; it is 0"),
        ("params.min_resolution=500", "multiple of 64"),
        ("dynamic_scale=NaN", "finite"),
        ("face=[1,2]", "params.face"),
        ("lane=fast", "interactive or bulk"),
        ("head_motion=9", "engine_params.head_motion"),
        ("dynamic_scal=1", "did you mean dynamic_scale? possible names: ai_label, blinks, consent, deadline_s"),
        ("zzz=1", "possible names: ai_label, blinks, consent, deadline_s, department"),
        ("audio_guidance=3", "audio_guidance is a parameter of the engine sonic, not of puppet"),
        ("engine_params.audio_guidance=3", "is a parameter of the engine sonic, not of puppet"),
        ("job_id=x", "use --job-id"),
        ("nothing", "not of the form name=value"),
        ("output.prefix=../x", "'..'"),
    ],
)
def test_a_bad_assignment_is_refused(
    lipstage: Lipstage, portrait: Path, speech: Path, tmp_path: Path, assignment: str, words: str
) -> None:
    sets = ["--set", assignment] + (["--set", "output.bucket=out"] if assignment.startswith("output") else [])
    ran = lipstage("render", portrait, speech, "-o", tmp_path / "x.mp4", *sets)
    assert ran.code == 2
    assert words in ran.err


def test_a_manifest_is_refused_with_every_faulty_line(
    lipstage: Lipstage, portrait: Path, speech: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "jobs.csv"
    manifest.write_text(
        "portrait,speech,job_id,dynamic_scale\n"
        "portrait.png,speech.wav,one,1.2\n"
        "portrait.png,missing.wav,two,\n"
        "portrait.png,speech.wav,one,\n"
        "\n"
        "portrait.png,speech.wav,four,9\n"
    )
    ran = lipstage("submit", "--batch", manifest)
    assert ran.code == 2
    assert "line 3, column speech, value missing.wav: the speech" in ran.err
    assert "line 4: job_id one is already used on line 2" in ran.err
    assert "line 6, column dynamic_scale, value 9: params.dynamic_scale" in ran.err
    assert "line 2" not in ran.err.replace("on line 2", "")


def test_a_jsonl_manifest_is_refused_with_every_faulty_line(
    lipstage: Lipstage, portrait: Path, speech: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "jobs.jsonl"
    good = {"portrait": "portrait.png", "speech": "speech.wav"}
    lines = ["{", "[]", json.dumps({"speech": "speech.wav"}), json.dumps(good | {"parms": {}}), json.dumps(good)]
    manifest.write_text("\n".join(lines))
    ran = lipstage("submit", "--batch", manifest)
    assert ran.code == 2
    for words in (
        "line 1: not JSON",
        "line 2: not a JSON object",
        "line 3: portrait is missing",
        "line 4, field parms: no request has a field 'parms'; did you mean params",
    ):
        assert words in ran.err
    assert "line 5" not in ran.err


def test_a_manifest_without_the_speech_column_is_refused(lipstage: Lipstage, tmp_path: Path) -> None:
    manifest = tmp_path / "jobs.csv"
    manifest.write_text("portrait,voice\na,b\n")
    ran = lipstage("submit", "--batch", manifest)
    assert ran.code == 2
    assert "column speech is missing" in ran.err


def test_an_unknown_stage_or_scale_is_bad_use(lipstage: Lipstage) -> None:
    assert lipstage("stage", "video").code == 2
    assert lipstage("stage", "audio", "--engine", "puppet").code == 2
    assert lipstage("up", "--scale", "infer:2").code == 2
    assert lipstage("up", "--scale", "video=2").code == 2


def test_commands_that_need_a_stack_are_code_3_without_one(lipstage: Lipstage) -> None:
    for command in (["jobs"], ["job", "a"], ["cancel", "a"], ["status"], ["trace", "a"], ["config", "--env"]):
        assert lipstage(*command).code == 3, command


def test_unknown_option_is_bad_use(lipstage: Lipstage) -> None:
    assert lipstage("render", "--colour").code == 2
    assert lipstage("relay").code == 2
