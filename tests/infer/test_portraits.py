"""One presenter, many texts: a portrait is measured once, and what is kept is bounded."""

from dataclasses import replace

import numpy as np
import pytest

from stages.infer.engine import Portrait
from stages.infer.puppet import portraits
from stages.infer.puppet.portraits import Renderers
from stages.infer.puppet.renderer import MouthPose, Pose, Renderer


def other(portrait: Portrait, number: int) -> Portrait:
    image = portrait.image.copy()
    image[0, 0] = (number, 0, 0)
    return replace(portrait, image=image)


def test_a_portrait_is_measured_once_and_its_frames_stay_the_same(portrait: Portrait) -> None:
    renderers = Renderers()
    pose = Pose(MouthPose(open=0.7, wide=0.2, teeth=0.5), blink=0.4, gaze=0.1)
    first = renderers.of(portrait)
    before = first.frame(pose)
    assert renderers.of(replace(portrait, image=portrait.image.copy())) is first
    assert np.array_equal(renderers.of(portrait).frame(pose), before)
    assert np.array_equal(Renderer(portrait.image, portrait.landmarks).frame(pose), before)


def test_another_pixel_or_landmark_is_another_portrait(portrait: Portrait) -> None:
    renderers = Renderers()
    first = renderers.of(portrait)
    assert renderers.of(other(portrait, 1)) is not first
    moved = replace(portrait, landmarks=portrait.landmarks + np.float32(0.5))
    assert renderers.of(moved) is not first


def test_the_portraits_used_last_are_kept_up_to_a_bound(portrait: Portrait, monkeypatch: pytest.MonkeyPatch) -> None:
    height, width = portrait.image.shape[:2]
    monkeypatch.setattr(portraits, "MAX_PIXELS", 2 * height * width)
    renderers = Renderers()
    first, second = renderers.of(portrait), renderers.of(other(portrait, 1))
    assert renderers.of(portrait) is first
    renderers.of(other(portrait, 2))
    assert renderers.of(portrait) is first, "it was used after the second"
    assert renderers.of(other(portrait, 1)) is not second
    monkeypatch.setattr(portraits, "MAX_PIXELS", 1)
    assert renderers.of(portrait) is renderers.of(portrait), "one is always kept"
