"""``lipstage eval``: output, files and exit codes."""

from pathlib import Path

import pytest
from PIL import Image

from shared.cli import evaluate
from shared.cli.errors import CliError
from tests.cli.conftest import Lipstage
from tests.evaluation.conftest import PORTRAIT, SPEECH, Film


@pytest.fixture
def lipstage() -> Lipstage:
    return Lipstage()


def test_json_and_pictures_are_written(lipstage: Lipstage, sample: Film, tmp_path: Path) -> None:
    plot, sheet = tmp_path / "plot.png", tmp_path / "sheet.jpg"
    ran = lipstage("eval", sample.path, SPEECH, "--reference", PORTRAIT, "--plot", plot, "--sheet", sheet, "--json")
    assert ran.code == 0
    result = ran.json
    assert result["reference"] == "energy"
    assert result["sync_r"] > 0.55 and abs(result["av_offset_ms"]) < 40
    assert result["closure_rate"] is result["closures"] is None, "energy does not know which sounds close the lips"
    assert result["identity"]["psnr_db"] > 30
    assert (result["container"]["frames"], result["container"]["fps"]) == (252, 25)
    with Image.open(plot) as image:
        assert image.format == "PNG" and image.width == 1400
    with Image.open(sheet) as image:
        assert image.format == "JPEG"


def test_reference_of_another_part_of_the_picture_is_refused(lipstage: Lipstage, sample: Film, tmp_path: Path) -> None:
    crop = tmp_path / "face.png"
    with Image.open(PORTRAIT) as image:
        image.crop((90, 0, 346, 256)).save(crop)
    ran = lipstage("eval", sample.path, SPEECH, "--reference", crop)
    assert ran.code == 2 and "another part of the picture" in ran.err


def test_every_metric_is_described(lipstage: Lipstage, sample: Film) -> None:
    ran = lipstage("eval", sample.path, SPEECH, "--reference", PORTRAIT)
    assert ran.code == 0
    rows = {line.split()[0]: line.split() for line in ran.out.splitlines()[1:]}
    assert set(rows) == set(evaluate.DESCRIPTIONS) - {"container.fault"}
    assert rows["reference"][1] == "energy" and rows["closures"][1] == "-"


@pytest.mark.parametrize(
    ("video", "speech", "words"),
    [
        ("missing.mp4", SPEECH, "the video missing.mp4 does not exist"),
        (SPEECH, SPEECH, "has no video track"),
        (PORTRAIT, PORTRAIT, "has no sound track"),
        (Path(__file__), SPEECH, "can't be read as media"),
    ],
)
def test_unusable_files_are_one_line_and_exit_code_2(lipstage: Lipstage, video: Path, speech: Path, words: str) -> None:
    ran = lipstage("eval", video, speech)
    assert ran.code == 2
    assert words in ran.err and "Traceback" not in ran.err
    assert ran.out == ""


def test_unwritable_picture_is_refused_before_the_evaluation(lipstage: Lipstage, sample: Film, tmp_path: Path) -> None:
    ran = lipstage("eval", sample.path, SPEECH, "--plot", tmp_path)
    assert ran.code == 2
    assert "is a directory" in ran.err


def test_picture_is_never_written_over_an_input_or_an_existing_file(lipstage: Lipstage, tmp_path: Path) -> None:
    portrait, plot = tmp_path / "me.png", tmp_path / "plot.png"
    portrait.write_bytes(PORTRAIT.read_bytes())
    plot.write_bytes(b"old")
    for option in ("--plot", "--sheet"):
        for target, words in ((portrait, "is the portrait"), (plot, "exists already"), ("-", "metrics are printed")):
            force = ["--force"] if target == portrait else []
            ran = lipstage("eval", SPEECH, SPEECH, "--reference", portrait, option, target, *force)
            assert (ran.code, words in ran.err) == (2, True), ran.err
    assert portrait.read_bytes() == PORTRAIT.read_bytes()
    assert plot.read_bytes() == b"old"
    ran = lipstage("eval", SPEECH, SPEECH, "--plot", tmp_path / "x.png", "--sheet", f"{tmp_path}/./x.png")
    assert (ran.code, "the same file" in ran.err) == (2, True)
    ran = lipstage("eval", SPEECH, SPEECH, "--plot", "/dev/null", "--sheet", "/dev/null")
    assert (ran.code, "the same file" in ran.err) == (2, False)


def test_failed_evaluation_is_one_line(monkeypatch: pytest.MonkeyPatch, sample: Film) -> None:
    monkeypatch.setattr(evaluate, "PROGRAM", "stages.encode.nothing")
    with pytest.raises(CliError, match=r"evaluation failed: .*No module named"):
        evaluate.evaluate(sample.path, SPEECH, None, None, None, None)
