"""Colours of what the portrait does not show, derived from its visible colours, so that its colour cast is kept."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stages.infer.puppet import landmarks as lm
from stages.infer.puppet.bases import Field
from stages.infer.puppet.geometry import FaceGeometry, Points

Colour = npt.NDArray[np.float32]

TEETH_GAP = 0.06
"""Gap between the lips from which teeth may be visible, in mouth widths."""
_SUBPIXEL_BITS = 3


@dataclass(frozen=True)
class Palette:
    """8-bit Lab colours, each 0..255, neutral at 128."""

    teeth: Colour
    cavity: Colour
    tongue: Colour
    warmth: float
    """0 for a grey picture .. 1 for coloured skin."""
    shows_teeth: bool
    """The portrait shows teeth: its own pixels are better than painted ones."""


def lab_to_rgb(lab: Field) -> Field:
    """Convert 8-bit Lab [h, w, 3] to RGB 0..255, same shape."""
    return np.asarray(cv2.cvtColor(np.clip(lab, 0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB), np.float32)


def filled(shape: tuple[int, int], polygon: Points) -> npt.NDArray[np.uint8]:
    """Anti-aliased mask 0..255 of a polygon [n, 2] in pixels."""
    mask = np.zeros(shape, np.uint8)
    points = np.round(polygon * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
    return mask


def _inside(lab: Field, face: FaceGeometry, upper: lm.Contour, lower: lm.Contour) -> Field:
    """Pixels [n, 3] between two contours, without their rims."""
    polygon = np.vstack([face.contour(upper), face.contour(lower)[::-1]]) - (face.region.x0, face.region.y0)
    mask = cv2.erode(filled(lab.shape[:2], polygon), np.ones((3, 3), np.uint8))
    result: Field = lab[mask > 200]
    return result


def palette_of(image: npt.NDArray[np.uint8], face: FaceGeometry) -> Palette:
    """Measure the portrait's colours; image: RGB [H, W, 3]."""
    lab = np.asarray(cv2.cvtColor(np.ascontiguousarray(image[face.region.slices]), cv2.COLOR_RGB2LAB), np.float32)
    samples = face.contour(lm.SKIN_SAMPLES) - (face.region.x0, face.region.y0)
    columns = np.clip(samples[:, 0].astype(int), 0, lab.shape[1] - 1)
    rows = np.clip(samples[:, 1].astype(int), 0, lab.shape[0] - 1)
    skin = np.median(lab[rows, columns], axis=0)

    whites = []
    for upper, lower in lm.EYES:
        eye = _inside(lab, face, upper, lower)
        if len(eye) > 12:
            whites.append(eye[eye[:, 0] >= np.percentile(eye[:, 0], 75)])
    white = np.median(np.vstack(whites), axis=0) if whites else skin
    lip = _inside(lab, face, lm.LOWER_INNER, lm.LOWER_OUTER)
    lip_colour = np.median(lip, axis=0) if len(lip) > 10 else skin

    opening = _inside(lab, face, lm.UPPER_INNER, lm.LOWER_INNER)
    gap = float(face.lip_gap()[5]) / face.mouth_width
    shows_teeth = gap > TEETH_GAP and len(opening) > 20 and bool(np.percentile(opening[:, 0], 75) > 0.75 * skin[0])
    if shows_teeth:
        teeth = np.median(opening[opening[:, 0] >= np.percentile(opening[:, 0], 60)], axis=0)
    else:  # between skin and eye white, less red than skin
        # Eyes in shadow or behind glasses are darker and redder than the teeth's light.
        light = float(np.clip(0.55 * skin[0] + 0.45 * max(white[0], skin[0]) + 10, 60, 230))
        skin_ab, white_ab = skin[1:] - 128, white[1:] - 128
        white_ab = white_ab * min(1.0, 0.7 * float(np.hypot(*skin_ab)) / max(float(np.hypot(*white_ab)), 1e-6))
        # Proportional, so that a grey picture keeps grey teeth.
        cast = 128 + (0.4 * skin_ab + 0.6 * white_ab) * (0.70, 0.80)
        teeth = np.array([light, *cast])
    a, b = lip_colour[1] - 128, lip_colour[2] - 128
    return Palette(
        teeth=teeth.astype(np.float32),
        cavity=np.array([0.20 * lip_colour[0], 128 + 0.55 * a, 128 + 0.5 * b], np.float32),
        tongue=np.array([0.72 * lip_colour[0], 128 + 1.05 * a, 128 + 0.8 * b], np.float32),
        warmth=float(np.clip(np.hypot(skin[1] - 128, skin[2] - 128) / 20, 0, 1)),
        shows_teeth=shows_teeth,
    )
