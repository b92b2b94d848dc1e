"""How far each landmark moves for each mouth parameter, in pixels of the portrait.

Parameters, in the order of ``PARAMETERS``: `rest` closes the aperture the photo shows (always 1), `open` drops the jaw,
`wide` spreads the corners, `round` purses the lips, `tuck` lifts the lower lip to the upper teeth (f, v).
"""

import numpy as np

from stages.infer.puppet import landmarks as lm
from stages.infer.puppet.geometry import FaceGeometry, Points

PARAMETERS = ("rest", "open", "wide", "round", "tuck")
REST, OPEN, WIDE, ROUND, TUCK = range(len(PARAMETERS))
MAX_APERTURE = 0.42
"""Height of the fully open mouth in mouth widths."""
UPPER_SHARE = 0.20
"""Share of an opening that the upper lip takes; the rest is the lower lip's."""
CLOSING_UPPER_SHARE = 0.40
INSET = 0.016
"""Lips that the photo shows apart close this far beyond touching (mouth widths): their rims hide what is between."""

# Per ring from the outer edge to the inner: how much of the inner lip's movement it follows.
_CLOSING_UPPER, _CLOSING_LOWER = (0.45, 0.60, 0.85, 1.0), (0.62, 0.78, 0.92, 1.0)
_OPENING_UPPER, _OPENING_LOWER = (0.75, 0.85, 0.95, 1.0), (0.90, 0.93, 0.97, 1.0)
_TUCK_UPPER, _TUCK_LOWER = (0.040, 0.045, 0.050, 0.055), (0.045, 0.058, 0.066, 0.070)

Displacements = dict[int, Points]
"""Landmark number -> [len(PARAMETERS), 2]."""


def landmark_displacements(face: FaceGeometry) -> Displacements:
    """All landmarks that control the mouth's movement; those held still stand in it with zeros."""
    out: Displacements = {}
    _lips(face, out)
    _chin_and_cheeks(face, out)
    for index in (*lm.NOSE, *lm.EYES_AND_BROWS):
        out.setdefault(index, np.zeros((len(PARAMETERS), 2)))
    return out


def _add(out: Displacements, index: int, parameter: int, vector: Points) -> None:
    out.setdefault(index, np.zeros((len(PARAMETERS), 2)))[parameter] += vector


def _smile(face: FaceGeometry) -> float:
    """How far the corners stand above the middle of the lips, in pixels: rounding has to bring them down."""
    seal = 0.6 * face.points[lm.UPPER_INNER[5]] + 0.4 * face.points[lm.LOWER_INNER[5]]
    corners = (face.points[lm.CORNER_LEFT] + face.points[lm.CORNER_RIGHT]) / 2
    return max(0.0, float((seal - corners) @ face.down))


def _lips(face: FaceGeometry, out: Displacements) -> None:
    across, down, width = face.across, face.down, face.mouth_width
    gap, smile = face.lip_gap(), _smile(face)
    for i, u in enumerate(np.linspace(-1, 1, 11)):
        arch = (1 - abs(u) ** 2.2) ** 0.8
        aperture = MAX_APERTURE * width * arch
        middle = max(0.0, 1 - abs(u))
        inset = max(INSET * width, 0.7) * arch if gap[i] > INSET * width else 0.0
        inside = 0 < i < 10
        for k in range(4):
            upper, lower = lm.UPPER_LIP[k][i], lm.LOWER_LIP[k][i]
            if inside:
                _add(out, upper, REST, down * (gap[i] * CLOSING_UPPER_SHARE + inset) * _CLOSING_UPPER[k])
                _add(out, lower, REST, -down * (gap[i] * (1 - CLOSING_UPPER_SHARE) + inset) * _CLOSING_LOWER[k])
                _add(out, upper, OPEN, -down * aperture * UPPER_SHARE * _OPENING_UPPER[k])
                _add(out, lower, OPEN, down * aperture * (1 - UPPER_SHARE) * _OPENING_LOWER[k])
                _add(out, upper, TUCK, -down * width * _TUCK_UPPER[k] * arch)
                _add(out, lower, TUCK, -down * width * _TUCK_LOWER[k] * arch)
            for index in {upper, lower}:  # at the corners both lips share one landmark
                _add(out, index, WIDE, across * width * 0.085 * u - down * width * 0.012 * abs(u) ** 3)
                _add(out, index, ROUND, -across * width * 0.19 * u + down * smile * 0.75 * abs(u) ** 1.5)
        if inside:  # rounding makes the lips fuller
            _add(out, lm.UPPER_OUTER[i], ROUND, -down * width * 0.030 * middle)
            _add(out, lm.LOWER_OUTER[i], ROUND, down * width * 0.035 * middle)
    for index, side, inward, drop in (
        (lm.CORNER_LEFT, -1, 0.035, 0.10),
        (lm.CORNER_RIGHT, 1, 0.035, 0.10),
        (lm.INNER_CORNER_LEFT, -1, 0.030, 0.10),
        (lm.INNER_CORNER_RIGHT, 1, 0.030, 0.10),
    ):
        _add(out, index, OPEN, -across * side * width * inward + down * width * MAX_APERTURE * drop)


def _chin_and_cheeks(face: FaceGeometry, out: Displacements) -> None:
    across, down, width = face.across, face.down, face.mouth_width
    drop, smile = down * MAX_APERTURE * width, _smile(face)
    corners = face.points[[lm.CORNER_LEFT, lm.CORNER_RIGHT]]
    for index in lm.CHIN:
        below = float(np.clip((face.points[index] - face.mouth_centre) @ down / face.mouth_to_chin, 0, 1))
        _add(out, index, OPEN, drop * 0.62 * min(1.0, 1.25 * below))
    for index in lm.JAW_SIDES:
        _add(out, index, OPEN, drop * 0.16)
    for index in lm.CHEEKS:
        offset = face.points[index] - face.mouth_centre
        u, v = float(offset @ across) / width, float(offset @ down) / face.mouth_to_chin
        near = float(np.exp(-((abs(u) - 0.5) ** 2) / 0.18))
        outward = across * np.sign(u) * width * near
        _add(out, index, OPEN, drop * 0.22 * near * float(np.clip(0.5 + v, 0, 1)) - 0.012 * outward)
        _add(out, index, WIDE, 0.03 * outward)
        # Skin beside a corner goes with it, or the corner's dimple folds over.
        beside = float(np.exp(-((np.linalg.norm(corners - face.points[index], axis=1).min() / (0.34 * width)) ** 2)))
        follow = down * smile * 0.6 - across * np.sign(u) * width * 0.12
        _add(out, index, ROUND, follow * beside - 0.04 * outward)
