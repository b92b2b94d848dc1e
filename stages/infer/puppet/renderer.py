"""Renders frames: combines local and head maps, samples the portrait once, paints the mouth's inside on top."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stages.infer.puppet.bases import Field, mouth_bases
from stages.infer.puppet.displacement import OPEN, PARAMETERS, REST, ROUND, TUCK, WIDE, landmark_displacements
from stages.infer.puppet.eyes import eyes
from stages.infer.puppet.geometry import Box, FaceGeometry, Points
from stages.infer.puppet.head import HeadWarp
from stages.infer.puppet.lips import LipCurves
from stages.infer.puppet.mouth import MouthInterior
from stages.infer.puppet.shading import Shading
from stages.infer.puppet.warp import LipLayers, MouthWarp

Frame = npt.NDArray[np.uint8]

_LINEAR_OPENING, _MAX_OPENING = 0.75, 1.2


@dataclass(frozen=True)
class MouthPose:
    """Targets of the mouth, each about 0..1; ``wide`` from -1 (narrow) to 1."""

    open: float = 0.0
    wide: float = 0.0
    round: float = 0.0
    close: float = 0.0
    tuck: float = 0.0
    teeth: float = 0.0
    tongue: float = 0.0

    def amounts(self) -> npt.NDArray[np.float32]:
        """Amounts [len(PARAMETERS)] of the displacement bases: closing and tucking override opening."""
        rounding = min(1.0, max(0.0, self.round))
        out = np.zeros(len(PARAMETERS), np.float32)
        out[REST] = 1.0
        out[OPEN] = self.aperture()
        out[WIDE] = min(1.2, max(-0.6, self.wide)) * (1 - 0.5 * rounding)
        out[ROUND] = rounding
        out[TUCK] = min(1.0, max(0.0, self.tuck))
        return out

    def aperture(self) -> float:
        """Commanded opening: 0 closed, 1 the widest vowel at normal amplitude; saturates at 1.2."""
        opening = max(0.0, self.open)
        if opening > _LINEAR_OPENING:
            headroom = _MAX_OPENING - _LINEAR_OPENING
            opening = _LINEAR_OPENING + headroom * math.tanh((opening - _LINEAR_OPENING) / headroom)
        return opening * (1 - min(1.0, max(0.0, self.close))) * (1 - 0.85 * min(1.0, max(0.0, self.tuck)))


@dataclass(frozen=True)
class Pose:
    """The parameters of one frame; head None: pixels away from mouth and eyes stay unchanged."""

    mouth: MouthPose = MouthPose()
    blink: float = 0.0
    gaze: float = 0.0
    """Gaze to the picture's right, in eye widths."""
    head: npt.NDArray[np.float32] | None = None


class Renderer:
    """Renders frames of one portrait. ``frame`` keeps no state: several threads may call it."""

    def __init__(self, image: Frame, landmarks: npt.NDArray[np.float32]) -> None:
        """image: RGB [H, W, 3]; landmarks: [478, 3] in its pixels."""
        self._image = np.ascontiguousarray(image)
        face = FaceGeometry(landmarks, image.shape[1], image.shape[0])
        moves = landmark_displacements(face)
        self._picture = face.picture
        self._curves = LipCurves(face, moves)
        self._mouth = MouthWarp(face, mouth_bases(face, moves))
        self._eyes = eyes(self._image, face)
        self._shading = Shading(face)
        self._interior = MouthInterior(image, face)
        self._head = HeadWarp(face)
        local = self._mouth.box.union(self._shading.box)
        for eye in self._eyes:
            local = local.union(eye.box)
        self.local_box = local
        """The part of the picture in which mouth and eyes move."""
        self._area = self._head.box.union(local)
        self._pixel = np.empty((self._area.height, self._area.width, 2), np.float32)
        self._pixel[..., 0] = np.arange(self._area.x0, self._area.x1, dtype=np.float32)
        self._pixel[..., 1] = np.arange(self._area.y0, self._area.y1, dtype=np.float32)[:, None]

    def frame(self, pose: Pose) -> Frame:
        """Render a pose to RGB [H, W, 3]; sampling is cubic where mouth and eyes move, else linear."""
        out = self._image.copy()
        reach, forward = 0, None
        if pose.head is None:
            area = self.local_box
            still = self._pixel[_within(area, self._area)].copy()  # positions of the pixels before the head moves
        else:
            area = self._area
            forward = self._head.forward(pose.head)
            still = self._pixel.copy() if self._head.box != area else np.empty_like(self._pixel)
            head = _within(self._head.box, area)
            cv2.add(self._pixel[head], self._head.backward(forward), dst=still[head])
            reach = int(np.abs(forward).max()) + 2
            self._draw(still, cv2.INTER_LINEAR, out[area.slices])

        amounts = pose.mouth.amounts()
        curves = self._curves(amounts)
        moved = curves
        if forward is not None:
            moved = self._head.displace(forward, curves[0]), self._head.displace(forward, curves[1])
        lips = self._mouth(amounts, *curves)
        local = self.local_box.grown(reach, area)
        source = still[_within(local, area)].copy()
        near = self._mouth.box.grown(reach, area)
        source[_within(near, local)] += _sample(lips.combined(), self._mouth.box, still, near, area)
        if pose.gaze:
            for eye in self._eyes:
                near = eye.box.grown(reach, area)
                ball = _sample(eye.ball, eye.box, still, near, area)
                source[_within(near, local)] -= np.float32(pose.gaze) * ball
        self._draw(source, cv2.INTER_CUBIC, out[local.slices])
        self._blend_lips(out, lips, still, area, moved)
        dx, dy = np.rint((moved[0] - curves[0]).mean(axis=0)).astype(int).tolist()
        self._shading.paint(out, amounts, (dx, dy))
        if pose.blink > 0.01:
            for eye in self._eyes:
                colour, opacity = eye.lid(min(1.0, pose.blink))
                near = eye.box.grown(reach, area)
                drawn = _sample(np.dstack([colour, opacity]), eye.box, still, near, area)
                _blend(out[near.slices], drawn[..., :3], drawn[..., 3])
        self._interior.paint(out, curves, moved, pose.mouth.teeth, pose.mouth.tongue)
        return out

    def _blend_lips(self, out: Frame, lips: LipLayers, still: Field, area: Box, moved: tuple[Points, Points]) -> None:
        """Redraw the lips from two maps, blended by colour: blended positions would sample the gap between them."""
        contour = np.vstack(moved)
        x0, y0 = np.floor(contour.min(axis=0)).astype(int) - 2
        x1, y1 = np.ceil(contour.max(axis=0)).astype(int) + 3
        box = Box(int(x0), int(y0), int(x1), int(y1)).grown(0, area)
        start, mouth = still[_within(box, area)], self._mouth.box
        patch = out[box.slices]
        lower = np.empty_like(patch)
        self._draw(start + _sample(lips.upper, mouth, still, box, area), cv2.INTER_CUBIC, patch)
        self._draw(start + _sample(lips.lower, mouth, still, box, area), cv2.INTER_CUBIC, lower)
        _blend(patch, lower, _sample(lips.share, mouth, still, box, area))

    def _draw(self, source: Field, method: int, target: Frame) -> None:
        """Fill the target, uint8 [h, w, 3], with the portrait at positions [h, w, 2]."""
        cv2.remap(self._image, source, None, method, dst=target, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]


def _sample(field: Field, box: Box, still: Field, near: Box, area: Box) -> Field:
    """Sample a field over ``box`` at the still positions of the pixels of ``near``; 0 outside the box."""
    positions = cv2.subtract(still[_within(near, area)], (box.x0, box.y0, 0.0, 0.0))  # type: ignore[call-overload]
    sampled = cv2.remap(field, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)  # type: ignore[call-overload]
    return np.asarray(sampled, np.float32)


def _blend(under: Frame, over: Frame | Field, opacity: Field) -> None:
    """Blend one patch over another, in place."""
    weight = opacity[..., None]
    under[:] = under * (1 - weight) + over * weight + np.float32(0.5)


def _within(box: Box, area: Box) -> tuple[slice, slice]:
    """The slices of a box in an array that covers ``area``."""
    return slice(box.y0 - area.y0, box.y1 - area.y0), slice(box.x0 - area.x0, box.x1 - area.x0)
