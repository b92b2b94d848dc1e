"""The visible label is in the decoded frames of its time, legible, and in no other."""

import math
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from shared.slot.marking import LABEL_CHARACTERS, LABEL_TEXTS, Label, Language, Position
from stages.encode.labels import labels
from stages.encode.mp4 import Coding, Mp4Writer
from stages.encode.provenance.visible_label import VisibleLabel, text_mask
from tests.encode.test_mp4 import hum

SECONDS = 2.0
LABELLED, FRAMES = 50, 56


def label(text: str = "AI-generated", position: Position = "bottom-right", height: float = 0.05) -> Label:
    return Label(text=text, position=position, height=height, seconds=SECONDS)


def pictures(width: int, height: int) -> NDArray[np.uint8]:
    """Frames with texture that moves, I420."""
    texture = np.random.default_rng(0).normal(128, 40, (height // 8 + 1, width // 8 + 1))
    luma = np.kron(texture, np.ones((8, 8)))[:height, :width].clip(16, 235)
    grey = np.full((height // 2, width), 128)
    frames = [np.concatenate([np.roll(luma, 2 * number, axis=1), grey]) for number in range(FRAMES)]
    return np.stack(frames).astype(np.uint8)


def correlation(frame: NDArray[np.uint8], template: NDArray[np.float32], burnt: VisibleLabel) -> float:
    """Of the frame's luma where the label is, with the text."""
    rows, columns = burnt.box
    region = frame[burnt.top : burnt.top + rows, burnt.left : burnt.left + columns].astype(float)
    return float(np.corrcoef(region.ravel(), template.ravel())[0, 1])


@pytest.mark.parametrize(
    ("width", "height", "language", "position"),
    [(256, 256, "en", "bottom-right"), (256, 256, "zh", "top-left"), (1280, 720, "zh", "bottom-left")],
)
def test_label_is_seen_for_its_time_and_no_longer(
    tmp_path: Path, width: int, height: int, language: Language, position: Position
) -> None:
    burnt = VisibleLabel(label(LABEL_TEXTS[language], position), width, height)
    black = np.concatenate([np.full((height, width), 16), np.full((height // 2, width), 128)]).astype(np.uint8)
    (alone,) = burnt.burn([black], 0)
    rows, columns = burnt.box
    template = alone[burnt.top : burnt.top + rows, burnt.left : burnt.left + columns].astype(np.float32)
    path, sound = tmp_path / "v.mp4", hum(FRAMES * 1920)
    with Mp4Writer(path, width, height, sound, labels("puppet"), Coding("ultrafast")) as writer:
        for start in range(0, FRAMES, 25):
            writer.write(burnt.burn(pictures(width, height)[start : start + 25], start))
    with av.open(str(path)) as file:
        found = [correlation(one.to_ndarray(format="gray"), template, burnt) for one in file.decode(video=0)]
    assert min(found[:LABELLED]) > 0.9
    assert max(found[LABELLED:]) < 0.4


@pytest.mark.parametrize("side", [256, 512, 1080])
def test_capital_letters_have_the_height_that_the_rule_asks_for(side: int) -> None:
    burnt = VisibleLabel(label("I"), side, side + 64)
    drawn = next(iter(burnt.burn([np.full(((side + 64) * 3 // 2, side), 16, np.uint8)], 0)))
    rows = np.flatnonzero((drawn[: side + 64] > 120).any(axis=1))
    assert rows[-1] - rows[0] + 1 >= math.ceil(0.05 * side)


def test_box_keeps_to_its_corner_and_within_the_picture() -> None:
    frame = np.full((512 * 3 // 2, 288), 200, np.uint8)
    for position in ("top-left", "top-right", "bottom-left", "bottom-right"):
        burnt = VisibleLabel(label(position=position), 288, 512)  # type: ignore[arg-type]
        changed = next(iter(burnt.burn([frame], 0)))[:512] != 200
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        assert (rows[0] < 20) == position.startswith("top")
        assert (rows[-1] > 490) == position.startswith("bottom")
        assert (columns[-1] > 270) == position.endswith("right")
        assert (columns[0] < 18) == position.endswith("left")
    assert (frame == 200).all(), "a frame of the input is not changed"


def test_text_that_is_too_wide_is_drawn_smaller() -> None:
    assert text_mask("W" * 24, 30.0, 200).shape[1] <= 200
    assert text_mask("AI", 30.0, 200).shape[0] == pytest.approx(30, abs=1)


def test_every_allowed_character_has_a_glyph_of_its_own() -> None:
    masks = {one: text_mask(one + ".", 40.0, 1000).tobytes() for one in LABEL_CHARACTERS}
    assert len(set(masks.values())) == len(LABEL_CHARACTERS) == len(set(LABEL_CHARACTERS))
