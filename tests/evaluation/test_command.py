"""`lipstage eval` as a script and a person see it."""

from pathlib import Path

import pytest
from PIL import Image

from shared.cli import evaluation
from shared.cli.errors import CliError
from tests.cli.conftest import Lipstage
from tests.evaluation.conftest import PORTRAIT, SPEECH, Film


@pytest.fixture
def lipstage() -> Lipstage:
    return Lipstage()


def test_json_and_pictures(lipstage: Lipstage, sample: Film, tmp_path: Path) -> None:
    plot, sheet = tmp_path / "plot.png", tmp_path / "new" / "sheet.jpg"
    ran = lipstage("eval", sample.path, SPEECH, "--reference", PORTRAIT, "--plot", plot, "--sheet", sheet, "--json")
    assert ran.code == 0
    found = ran.json
    assert found["reference"] == "energy"
    assert found["sync_r"] > 0.55 and abs(found["av_offset_ms"]) < 40
    assert found["closure_rate"] is found["closures"] is None, "energy does not know which sounds close the lips"
    assert found["identity"]["psnr_db"] > 30
    assert (found["container"]["frames"], found["container"]["fps"]) == (252, 25)
    with Image.open(plot) as image:
        assert image.format == "PNG" and image.width == 1400
    with Image.open(sheet) as image:
        assert image.format == "JPEG"


def test_a_reference_that_shows_another_part_of_the_picture_is_refused(
    lipstage: Lipstage, sample: Film, tmp_path: Path
) -> None:
    crop = tmp_path / "face.png"
    with Image.open(PORTRAIT) as image:
        image.crop((90, 0, 346, 256)).save(crop)
    ran = lipstage("eval", sample.path, SPEECH, "--reference", crop)
    assert ran.code == 2 and "another part of the picture" in ran.err


def test_every_figure_is_explained(lipstage: Lipstage, sample: Film) -> None:
    ran = lipstage("eval", sample.path, SPEECH, "--reference", PORTRAIT)
    assert ran.code == 0
    rows = {line.split()[0]: line.split() for line in ran.out.splitlines()[1:]}
    assert set(rows) == set(evaluation.MEANINGS) - {"container.fault"}
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
def test_files_that_can_not_be_judged(lipstage: Lipstage, video: Path, speech: Path, words: str) -> None:
    ran = lipstage("eval", video, speech)
    assert ran.code == 2
    assert words in ran.err and "Traceback" not in ran.err
    assert ran.out == ""


def test_unwritable_picture_is_refused_first(lipstage: Lipstage, sample: Film, tmp_path: Path) -> None:
    ran = lipstage("eval", sample.path, SPEECH, "--plot", tmp_path)
    assert ran.code == 2
    assert "is a directory" in ran.err


def test_a_judge_that_breaks_down_is_one_line(monkeypatch: pytest.MonkeyPatch, sample: Film) -> None:
    monkeypatch.setattr(evaluation, "JUDGE", "stages.encode.nothing")
    with pytest.raises(CliError, match=r"broke down: .*No module named"):
        evaluation.evaluate(sample.path, SPEECH, None, None, None, None)
