"""What the puppet draws: where it moves, that lips meet, that eyes shut, that the head moves rigidly enough."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from stages.infer.engine import Portrait
from stages.infer.puppet import landmarks as lm
from stages.infer.puppet.geometry import FaceGeometry
from stages.infer.puppet.head import MOTIONS, SHIFT_X
from stages.infer.puppet.renderer import Frame, MouthPose, Pose, Renderer
from stages.infer.puppet.shading import Shading

CLOSED = MouthPose(close=1.0)


@pytest.fixture(scope="module")
def renderer(portrait: Portrait) -> Renderer:
    return Renderer(portrait.image, portrait.landmarks)


def mouth_patch(frame: Frame, portrait: Portrait) -> np.ndarray:  # type: ignore[type-arg]
    """The middle of the mouth, from the upper lip to half way to the chin, as RGB numbers."""
    points = portrait.landmarks[:, :2]
    reach = int(0.2 * np.linalg.norm(points[lm.CORNER_RIGHT] - points[lm.CORNER_LEFT]))
    x, y = points[[lm.UPPER_INNER[5], lm.LOWER_INNER[5]]].mean(axis=0).astype(int)
    return frame[y - reach // 2 : y + 2 * reach, x - reach : x + reach].astype(float)


def test_pixels_outside_the_moving_box_are_untouched(renderer: Renderer, portrait: Portrait) -> None:
    frame = renderer.frame(Pose(MouthPose(open=1.0, wide=0.5), blink=1.0))
    outside = np.ones(frame.shape[:2], bool)
    outside[renderer.local_box.slices] = False
    assert outside.mean() > 0.5
    assert np.array_equal(frame[outside], portrait.image[outside])
    assert not np.array_equal(frame[~outside], portrait.image[~outside])


def test_mouth_opens_with_the_command(renderer: Renderer, portrait: Portrait) -> None:
    shut = mouth_patch(renderer.frame(Pose(CLOSED)), portrait).mean(axis=2)
    patches = [mouth_patch(renderer.frame(Pose(MouthPose(open=a))), portrait).mean(axis=2) for a in (0.0, 0.5, 1.0)]
    darkened = [float((shut - patch > 40).mean()) for patch in patches]
    assert darkened[0] == 0.0
    assert darkened[0] < darkened[1] < darkened[2] and darkened[2] > 0.2


def test_closing_overrides_opening(renderer: Renderer) -> None:
    shut = renderer.frame(Pose(CLOSED))
    assert np.array_equal(shut, renderer.frame(Pose(MouthPose(open=1.0, close=1.0))))


def test_closed_lips_hide_the_photos_teeth(renderer: Renderer, portrait: Portrait) -> None:
    points = portrait.landmarks[:, :2]
    rows = slice(int(points[lm.UPPER_INNER[5], 1]) + 1, int(points[lm.LOWER_INNER[5], 1]))
    columns = slice(int(points[lm.UPPER_INNER[3], 0]), int(points[lm.UPPER_INNER[7], 0]))

    def redness(frame: Frame) -> float:
        """Lips and skin are redder than teeth."""
        patch = frame[rows, columns].astype(float)
        return float((patch[..., 0] - patch[..., 1]).mean())

    assert redness(renderer.frame(Pose(CLOSED))) > redness(portrait.image) + 15


def test_blink_covers_the_iris(renderer: Renderer, portrait: Portrait) -> None:
    def dark(frame: Frame) -> float:
        pixels = []
        for iris in (468, 473):
            x, y = portrait.landmarks[iris, :2].round().astype(int)
            pixels.append(frame[y - 1 : y + 2, x - 1 : x + 2].mean())
        return float(np.mean(pixels))

    opened, shut = renderer.frame(Pose(CLOSED)), renderer.frame(Pose(CLOSED, blink=1.0))
    assert dark(shut) > dark(opened) + 30


def test_blink_leaves_no_dark_contour_of_the_open_lid(renderer: Renderer, portrait: Portrait) -> None:
    """Where the open eye's lashes were there is skin: no darker than half way from it to the lashes."""
    shut = renderer.frame(Pose(CLOSED, blink=1.0)).astype(float).mean(axis=2)
    opened = renderer.frame(Pose(CLOSED)).astype(float).mean(axis=2)
    for upper, _ in lm.EYES:
        x, y = portrait.landmarks[list(upper[3:6]), :2].mean(axis=0).round().astype(int)
        rows = slice(y - 2, y + 2)
        assert shut[rows, x - 2 : x + 3].mean() > opened[rows, x - 2 : x + 3].mean() + 15


def test_lid_on_white_paper_stays_white(portrait: Portrait) -> None:
    white = np.full_like(portrait.image, 255)
    shut = Renderer(white, portrait.landmarks).frame(Pose(CLOSED, blink=1.0))
    for upper, lower in lm.EYES:
        x, y = portrait.landmarks[[upper[4], lower[4]], :2].mean(axis=0).round().astype(int)
        assert shut[y, x].min() > 200


def test_gaze_moves_the_iris_and_nothing_else(renderer: Renderer, portrait: Portrait) -> None:
    still = renderer.frame(Pose(CLOSED)).astype(float)
    for side in (1, -1):
        looking = renderer.frame(Pose(CLOSED, gaze=0.05 * side)).astype(float)
        changed = np.abs(looking - still).max(axis=2) > 8
        for iris, (upper, lower) in zip((468, 473), lm.EYES, strict=True):
            lids = portrait.landmarks[[*upper, *lower], :2]
            (x0, y0), (x1, y1) = lids.min(axis=0).astype(int) - 1, lids.max(axis=0).astype(int) + 2
            assert changed[y0:y1, x0:x1].any()
            changed[y0:y1, x0:x1] = False
            x, y = portrait.landmarks[iris, :2].round().astype(int)
            dark = 255 - np.stack([still, looking]).mean(axis=3)[:, y, x - 5 : x + 6]
            centres = (dark * np.arange(-5, 6)).sum(axis=1) / dark.sum(axis=1)
            assert (centres[1] - centres[0]) * side > 0
        assert not changed.any()


def test_open_mouth_shades_the_folds_but_not_the_background(portrait: Portrait) -> None:
    face = FaceGeometry(portrait.landmarks, portrait.image.shape[1], portrait.image.shape[0])
    grey = np.full_like(portrait.image, 200)
    for amount, lost in ((1.0, 5), (0.0, 0)):
        frame = grey.copy()
        Shading(face).paint(frame, MouthPose(open=amount).amounts(), (0, 0))
        for line in lm.NASOLABIAL:
            x, y = face.points[line[2]].round().astype(int)
            assert 200 - int(frame[y, x, 0]) >= lost
    Shading(face).paint(grey, MouthPose(open=2.0, wide=1.0).amounts(), (0, 0))
    hull = cv2.convexHull(face.points.astype(np.float32))
    outside = [
        p for p in np.argwhere((grey != 200).any(axis=2)) if cv2.pointPolygonTest(hull, p[::-1].tolist(), True) < -2
    ]
    assert not outside


def test_head_shift_moves_the_face_by_that_much(renderer: Renderer, portrait: Portrait) -> None:
    still = renderer.frame(Pose(CLOSED))
    width = float(np.ptp(portrait.landmarks[:, 0]))
    pose = np.zeros(len(MOTIONS), np.float32)
    pose[SHIFT_X] = 3.0 / width
    moved = renderer.frame(Pose(CLOSED, head=pose))
    x, y = portrait.landmarks[6, :2].astype(int)
    patch = still[y - 25 : y + 25, x - 25 : x + 25].astype(float)
    errors = [np.abs(moved[y - 25 : y + 25, x - 25 + k : x + 25 + k] - patch).mean() for k in range(7)]
    assert int(np.argmin(errors)) == 3


def test_still_head_pose_equals_no_head_motion(renderer: Renderer) -> None:
    pose = MouthPose(open=0.6, teeth=0.4)
    still = renderer.frame(Pose(pose)).astype(int)
    posed = renderer.frame(Pose(pose, head=np.zeros(len(MOTIONS), np.float32))).astype(int)
    assert np.abs(still - posed).max() <= 2


def test_mouth_does_not_tear(renderer: Renderer) -> None:
    """A small step of the command is a small step of the picture, from closed to wide open."""
    box = renderer.local_box.slices
    frames = [renderer.frame(Pose(MouthPose(open=a, round=0.3)))[box].astype(float) for a in np.linspace(0, 1.2, 40)]
    steps = [float(np.abs(b - a).mean()) for a, b in pairwise(frames)]
    assert max(steps) < 4 * float(np.median(steps)) + 0.05, steps
