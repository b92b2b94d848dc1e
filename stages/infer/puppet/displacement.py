"""Displacement of each landmark for each mouth parameter, in pixels of the portrait.

Parameters, in the order of ``PARAMETERS``: ``rest`` closes the portrait's own aperture (always 1), ``open`` drops the
jaw, ``wide`` spreads the corners, ``round`` purses the lips, ``tuck`` lifts the lower lip to the upper teeth (f, v).
"""

import numpy as np

from stages.infer.puppet import landmarks as lm
from stages.infer.puppet.geometry import FaceGeometry, Points

PARAMETERS = ("rest", "open", "wide", "round", "tuck")
REST, OPEN, WIDE, ROUND, TUCK = range(len(PARAMETERS))
MAX_APERTURE = 0.42
"""Height of the fully open mouth in mouth widths."""
UPPER_SHARE = 0.20
"""The upper lip's share of an opening; the rest is the lower lip's."""
CLOSING_UPPER_SHARE = 0.40
CORNERS_INWARD = 0.055
"""Movement of each corner towards the middle when the jaw drops, in mouth widths."""
ROUNDING = 0.18
"""The same for pursed lips."""
INSET = 0.016
"""Overlap of closed lips that are apart in the portrait, in mouth widths: their rims hide what is between."""

# Per ring from the outer edge to the inner: its share of the inner lip's movement.
_CLOSING_UPPER, _CLOSING_LOWER = (0.45, 0.60, 0.85, 1.0), (0.62, 0.78, 0.92, 1.0)
_OPENING_UPPER, _OPENING_LOWER = (0.75, 0.85, 0.95, 1.0), (0.90, 0.93, 0.97, 1.0)
_TUCK_UPPER, _TUCK_LOWER = (0.040, 0.045, 0.050, 0.055), (0.045, 0.058, 0.066, 0.070)

Displacements = dict[int, Points]
"""Landmark number -> [len(PARAMETERS), 2]."""


def landmark_displacements(face: FaceGeometry) -> Displacements:
    """Displacements of all landmarks that control the mouth's movement; zeros for those that stay still."""
    out: Displacements = {}
    _lips(face, out)
    _chin_and_cheeks(face, out)
    for index in (*lm.NOSE, *lm.EYES_AND_BROWS):
        out.setdefault(index, np.zeros((len(PARAMETERS), 2)))
    return out


def _add(out: Displacements, index: int, parameter: int, vector: Points) -> None:
    out.setdefault(index, np.zeros((len(PARAMETERS), 2)))[parameter] += vector


def _smile(face: FaceGeometry) -> float:
    """Height of the corners above the middle of the lips, in pixels: rounding has to lower them."""
    seal = 0.6 * face.points[lm.UPPER_INNER[5]] + 0.4 * face.points[lm.LOWER_INNER[5]]
    corners = (face.points[lm.CORNER_LEFT] + face.points[lm.CORNER_RIGHT]) / 2
    return max(0.0, float((seal - corners) @ face.down))


def _rounding_limit(face: FaceGeometry) -> float:
    """1 for lips at rest, less for a smile: its raised cheeks fold over when the corners move inward."""
    return 1 - 0.40 * min(1.0, _smile(face) / (0.12 * face.mouth_width))


def _lips(face: FaceGeometry, out: Displacements) -> None:
    across, down, width = face.across, face.down, face.mouth_width
    gap, smile = face.lip_gap(), _smile(face)
    pull = ROUNDING * _rounding_limit(face)
    for i, u in enumerate(lm.ALONG):
        arch = (1 - u**2) ** 0.75
        side = u * face.foreshortening(u)
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
                _add(out, index, WIDE, across * width * 0.085 * side - down * width * 0.012 * abs(u) ** 3)
                _add(out, index, ROUND, -across * width * pull * side + down * smile * 0.75 * abs(u) ** 1.5)
        if inside:  # rounding makes the lips fuller
            _add(out, lm.UPPER_OUTER[i], ROUND, -down * width * 0.030 * middle)
            _add(out, lm.LOWER_OUTER[i], ROUND, down * width * 0.035 * middle)
    for index, side in (
        (lm.CORNER_LEFT, -1),
        (lm.CORNER_RIGHT, 1),
        (lm.INNER_CORNER_LEFT, -1),
        (lm.INNER_CORNER_RIGHT, 1),
    ):
        inward = across * side * face.foreshortening(side) * width * CORNERS_INWARD
        _add(out, index, OPEN, down * width * MAX_APERTURE * 0.12 - inward)


def _chin_and_cheeks(face: FaceGeometry, out: Displacements) -> None:
    across, down, width = face.across, face.down, face.mouth_width
    drop, smile, rounding = down * MAX_APERTURE * width, _smile(face), _rounding_limit(face)
    corners = face.points[[lm.CORNER_LEFT, lm.CORNER_RIGHT]]
    closing = float(face.lip_gap()[5]) * (1 - CLOSING_UPPER_SHARE)
    for index in lm.CHIN:
        offset = face.points[index] - face.mouth_centre
        below = float(np.clip(offset @ down / face.mouth_to_chin, 0, 1))
        beside = float(np.exp(-((offset @ across / (0.55 * width)) ** 2)))
        _add(out, index, OPEN, drop * 0.62 * min(1.0, 1.25 * below))
        # The jaw closes an open mouth and lifts slightly for f and v; otherwise the skin below the lip stretches.
        _add(out, index, REST, -down * closing * (0.60 - 0.25 * below) * beside)
        _add(out, index, TUCK, -down * width * 0.040 * (1 - 0.8 * below) * beside)
    for index in lm.JAW_SIDES:
        _add(out, index, OPEN, drop * 0.16)
    for index in lm.CHEEKS:
        offset = face.points[index] - face.mouth_centre
        v = float(offset @ down) / face.mouth_to_chin
        u = float(face.frontal(np.asarray(offset @ across / width)))
        near = float(np.exp(-((abs(u) - 0.5) ** 2) / 0.18))
        outward = across * np.sign(u) * face.foreshortening(u) * width
        _add(out, index, OPEN, drop * 0.22 * near * float(np.clip(0.5 + v, 0, 1)) - 0.03 * near * outward)
        _add(out, index, WIDE, 0.03 * near * outward)
        # Skin beside a corner follows it; otherwise the corner's dimple folds over.
        beside = float(np.exp(-((np.linalg.norm(corners - face.points[index], axis=1).min() / (0.34 * width)) ** 2)))
        follow = down * smile * 0.6 - 0.12 * rounding * outward
        _add(out, index, ROUND, follow * beside - 0.04 * rounding * near * outward)
