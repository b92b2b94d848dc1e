"""The portrait's tensors against the stored ones, and the rules of crop, output size and mask."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.infer.sonic import picture
from tests.parity.crop import crop_square
from tests.sonic.public import CONFIG, VECTORS, arrays, assert_close

sides = st.integers(64, 4000)
ratios = st.floats(0.1, 1.0)


@st.composite
def faces(draw: st.DrawFn) -> tuple[int, int, picture.Box]:
    """Width and height of a picture and the left, top, right and bottom of a face inside it, 8 pixels or larger."""
    width, height = draw(sides), draw(sides)
    x1, y1 = draw(st.floats(0, width - 8)), draw(st.floats(0, height - 8))
    return width, height, (x1, y1, draw(st.floats(x1 + 8, width)), draw(st.floats(y1 + 8, height)))


@pytest.mark.parametrize("vector", VECTORS["crop"])
def test_crop_matches_the_stored_vectors(vector: dict[str, Any]) -> None:
    crop = crop_square(tuple(vector["box_xyxy"]), vector["expand_ratio"], vector["width"], vector["height"])
    assert list(crop) == vector["crop_xyxy"]


@given(faces(), ratios)
def test_crop_is_a_square_inside_the_picture(face: tuple[int, int, picture.Box], ratio: float) -> None:
    width, height, box = face
    left, top, right, bottom = crop_square(box, ratio, width, height)
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    assert abs((right - left) - (bottom - top)) <= 1, "each edge is rounded for itself"
    centre_x, centre_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    assert left - 1 <= centre_x <= right + 1 and top - 1 <= centre_y <= bottom + 1


@pytest.mark.parametrize("vector", VECTORS["resolution"])
def test_output_size_matches_the_stored_vectors(vector: dict[str, int]) -> None:
    size = picture.output_size(vector["image_width"], vector["image_height"], vector["min_resolution"])
    assert size == (vector["width"], vector["height"])


@given(sides, sides, st.integers(64, 1024))
def test_output_sizes_are_multiples_of_64(width: int, height: int, min_resolution: int) -> None:
    size = picture.output_size(width, height, min_resolution)
    assert all(side % 64 == 0 for side in size)
    # By the published arithmetic a half may fall either way: width * (r / width) is not always r.
    assert abs(min(size) - min_resolution) <= 32 + 1e-6
    long_side = max(width, height) / min(width, height) * min_resolution
    assert abs(max(size) - long_side) <= 32 + 1e-6
    assert picture.output_size(height, width, min_resolution) == size[::-1]


@pytest.mark.parametrize("vector", VECTORS["mask_rect"])
def test_mask_rectangle_matches_the_stored_vectors(vector: dict[str, Any]) -> None:
    rectangle = picture.mask_rectangle(tuple(vector["box_xywh"]), vector["width"], vector["height"], vector["area"])
    assert list(rectangle) == vector["rect_xyxy"]


@given(faces(), st.floats(1.0, 1.5))
def test_mask_covers_the_face(face: tuple[int, int, picture.Box], area: float) -> None:
    width, height, (x1, y1, x2, y2) = face
    left, top, right, bottom = picture.mask_rectangle((x1, y1, x2 - x1, y2 - y1), width, height, area)
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    assert left <= x1 + 1 and top <= y1 + 1 and right >= x2 - 3 and bottom >= y2 - 3, "three floors to whole pixels"


def test_mask_of_a_box_outside_is_empty() -> None:
    assert picture.mask_rectangle((-300, 10, 100, 50), 400, 300) == (0, 8, 0, 62)


def test_tensors_match_the_stored_ones() -> None:
    case = CONFIG["cases"]["main"]
    box = tuple(arrays()["main.face_box"].tolist())
    prepared = picture.prepare_picture(arrays()["main.image"], box, case["min_resolution"], case["area"])
    assert_close(prepared.ref, "main.ref")
    assert_close(prepared.mask, "main.face_mask")
    assert_close(prepared.clip_pixels, "main.clip_pixels")
    assert prepared.ref.dtype == prepared.mask.dtype == prepared.clip_pixels.dtype == torch.float32


def test_read_only_picture_is_accepted() -> None:
    rgb = np.full((80, 100, 3), 255, np.uint8)
    rgb.setflags(write=False)
    prepared = picture.prepare_picture(rgb, (10, 10, 30, 30), 64)
    assert prepared.ref.shape == (1, 3, 64, 64) and torch.equal(prepared.ref, torch.ones_like(prepared.ref))
