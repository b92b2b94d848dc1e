"""Pre- and post-processing of the published face detector, the choice of a face, and a TorchScript file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.parity import detector
from tests.parity.detector import Face
from tests.sonic.public import VECTORS


@pytest.mark.parametrize("vector", VECTORS["detector"])
def test_decoded_faces_match_the_stored_vectors(vector: dict[str, Any]) -> None:
    picture = vector["image_width"], vector["image_height"]
    seen = detector.network_size(*picture)
    assert seen == (vector["net_width"], vector["net_height"])
    made = detector.grids(*seen)
    assert [list(grid.shape) for grid in made] == vector["grid_shapes"]
    assert made[1][0, 0, 3, 7].tolist() == [7, 3]

    faces = detector.decode_faces(np.array(vector["raw_rows"], np.float32), seen, picture)
    assert len(faces) == len(vector["scores"])
    np.testing.assert_allclose([face.box_xywh for face in faces], vector["boxes_xywh"], rtol=0, atol=1e-2)
    np.testing.assert_allclose([face.landmarks for face in faces], vector["landmarks"], rtol=0, atol=1e-2)
    np.testing.assert_allclose([face.score for face in faces], vector["scores"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "seen"), [((1920, 1080), (768, 416)), ((800, 600), (576, 416)), ((736, 1024), (416, 608))]
)
def test_network_size_is_a_multiple_of_32(size: tuple[int, int], seen: tuple[int, int]) -> None:
    assert detector.network_size(*size) == seen


def test_uncertain_rows_give_no_face() -> None:
    assert detector.decode_faces(np.zeros((0, 16), np.float32), (416, 416), (500, 500)) == []
    assert detector.decode_faces(np.full((3, 16), 0.5, np.float32), (416, 416), (500, 500)) == []


def rows_of(*faces: tuple[float, ...]) -> np.ndarray:
    """Rows of centre x, centre y, width, height, objectness and class."""
    raw = np.zeros((len(faces), 16), np.float32)
    for row, (x, y, width, height, objectness, probability) in zip(raw, faces, strict=True):
        row[:5], row[15] = (x, y, width, height, objectness), probability
    return raw


@pytest.mark.parametrize(("apart", "left"), [(35, 1), (40, 2)], ids=["IoU 0.48", "IoU 0.43"])
def test_less_certain_of_two_overlapping_faces_is_dropped(apart: int, left: int) -> None:
    raw = rows_of((100, 100, 100, 80, 0.8, 1.0), (100 + apart, 100, 100, 80, 0.9, 1.0))
    faces = detector.decode_faces(raw, (416, 416), (416, 416))
    assert [face.score for face in faces] == pytest.approx([0.9, 0.8][:left])


@pytest.mark.parametrize(("objectness", "probability"), [(0.9, 0.5), (0.45, 1.2)])
def test_face_must_pass_both_thresholds(objectness: float, probability: float) -> None:
    raw = rows_of((100, 100, 50, 50, objectness, probability))
    assert detector.decode_faces(raw, (416, 416), (416, 416)) == []


@given(st.lists(st.tuples(*[st.integers(1, 60)] * 4, st.integers(51, 99)), max_size=12))
def test_remaining_faces_do_not_overlap(rows: list[tuple[int, ...]]) -> None:
    raw = rows_of(*((x, y, width, height, score / 100, 1) for x, y, width, height, score in rows))
    faces = detector.decode_faces(raw, (64, 64), (64, 64))
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    assert bool(faces) == bool(rows)

    def overlap(a: Face, b: Face) -> float:
        (ax, ay, aw, ah), (bx, by, bw, bh) = a.box_xywh, b.box_xywh
        both = max(min(ax + aw, bx + bw) - max(ax, bx), 0) * max(min(ay + ah, by + bh) - max(ay, by), 0)
        return both / (a.area + b.area - both)

    assert all(overlap(a, b) <= 0.45 + 1e-9 for i, a in enumerate(faces) for b in faces[:i])


def face_of(area: float) -> Face:
    return Face((0.0, 0.0, area, 1.0), np.zeros((5, 2)), 0.9)


@pytest.mark.parametrize(
    ("areas", "official", "correct"),
    [((5,), 0, 0), ((5, 3), 0, 0), ((3, 5), 1, 1), ((3, 9, 5), 2, 1), ((3, 9, 2), 1, 1), ((4, 4, 4), 0, 0)],
)
def test_chosen_face_is_the_largest_or_the_official_one(areas: tuple[float, ...], official: int, correct: int) -> None:
    faces = [face_of(area) for area in areas]
    assert detector.largest(faces, official=True) is faces[official]
    assert detector.largest(faces) is faces[correct]


class OneFace(nn.Module):
    """Answers with the grey value that it sees as the face's score, in the middle of its picture."""

    def forward(self, picture: Tensor, grids: list[Tensor]) -> Tensor:
        height, width = picture.shape[2], picture.shape[3]
        assert len(grids) == 3 and grids[0].shape[2] * 8 == height and grids[2].shape[3] * 32 == width
        row = torch.zeros(1, 1, 16)
        row[0, 0, 0], row[0, 0, 1] = width / 2, height / 2
        row[0, 0, 2], row[0, 0, 3] = width / 4, height / 2
        row[0, 0, 4], row[0, 0, 15] = picture.mean(), 1.0
        return row


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_torchscript_file_is_run(tmp_path: Path) -> None:
    torch.jit.script(OneFace()).save(str(tmp_path / "yoloface_v5m.pt"))
    faces = detector.Detector.load(tmp_path / "yoloface_v5m.pt")(np.full((1080, 1920, 3), 204, np.uint8))
    assert len(faces) == 1
    np.testing.assert_allclose(faces[0].box_xywh, (720, 270, 480, 540))
    assert faces[0].score == pytest.approx(0.8)
    assert detector.Detector.load(tmp_path / "yoloface_v5m.pt")(np.zeros((300, 300, 3), np.uint8)) == []
