"""Textures of the mouth's inside in the mouth's own frame: cavity, tongue, lower and upper teeth.

A texture pixel (column, row) lies at u = column / density - HALF_WIDTH mouth widths from the mouth's centre along its
axis and v = row / density - ABOVE mouth widths towards the chin. Textures are float32 [rows, columns, 4], red, green,
blue 0..255 premultiplied by the last channel, opacity 0..1.
"""

import cv2
import numpy as np
import numpy.typing as npt

from stages.infer.puppet.bases import Field
from stages.infer.puppet.palette import Palette, lab_to_rgb

HALF_WIDTH, ABOVE, BELOW = 0.62, 0.30, 0.62

# Right half of the upper arch seen from the front: where each tooth ends, and how long it is, in mouth widths.
_UPPER_ENDS = (0.118, 0.212, 0.296, 0.366, 0.425, 0.475)
_UPPER_LENGTHS = (0.088, 0.078, 0.082, 0.068, 0.058, 0.048)
_LOWER_ENDS = (0.072, 0.145, 0.222, 0.295, 0.360)


def grid(density: float) -> tuple[Field, Field]:
    """u and v, [rows, columns] each, of every texture pixel."""
    columns, rows = int(2 * HALF_WIDTH * density) + 1, int((ABOVE + BELOW) * density) + 1
    u, v = np.meshgrid(np.arange(columns) / density - HALF_WIDTH, np.arange(rows) / density - ABOVE)
    return u.astype(np.float32), v.astype(np.float32)


def _ramp(distance: npt.NDArray[np.floating], width: float) -> Field:
    """0 to 1 across an edge of that width."""
    result: Field = np.clip(distance / width + 0.5, 0, 1).astype(np.float32)
    return result


def _layer(lab: Field, opacity: npt.NDArray[np.floating]) -> Field:
    rgb = lab_to_rgb(lab)
    return np.dstack([rgb * opacity[..., None], opacity]).astype(np.float32)


def _tinted(lab: npt.NDArray[np.float32], light: npt.NDArray[np.floating]) -> Field:
    out = np.empty((*light.shape, 3), np.float32)
    out[:] = lab
    out[..., 0] *= light
    return out


def _arch_light(u: Field) -> Field:
    """Light falls off towards the corners, where the arch turns back."""
    result: Field = np.clip(1 - np.abs(u / 0.5) ** 2.5, 0, 1)
    return result


def _tooth_profile(u: Field, ends: tuple[float, ...], lengths: tuple[float, ...]) -> tuple[Field, Field]:
    """Length of the tooth at each u, rounded at its corners, and 0 at the gaps between teeth .. 1 in the middle."""
    at = np.abs(u)
    index = np.minimum(np.searchsorted(np.asarray(ends), at), len(ends) - 1)
    starts = np.asarray((0.0, *ends[:-1]))[index]
    width = np.asarray(ends)[index] - starts
    middle = np.clip((at - starts) / width, 0, 1) * 2 - 1
    length = np.asarray(lengths)[index] * (1 - 0.16 * np.abs(middle) ** 4)
    from_gap = (1 - np.abs(middle)) * width / 2
    return length.astype(np.float32), np.clip(from_gap / 0.012, 0, 1).astype(np.float32)


def cavity(palette: Palette, u: Field) -> Field:
    """The dark behind all, opaque."""
    return _layer(_tinted(palette.cavity, 0.55 + 0.45 * _arch_light(u)), np.ones_like(u))


def tongue(palette: Palette, u: Field, v: Field) -> Field:
    """Below v = -0.16, where v = 0 is the lower lip's middle; follows the jaw."""
    opacity = 0.9 * np.exp(-((u / 0.31) ** 4)) * _ramp(v + 0.16, 0.06)
    groove = 1 - 0.07 * np.exp(-((u / 0.05) ** 2))
    return _layer(_tinted(palette.tongue, groove * (0.82 + 0.18 * np.clip((v + 0.19) / 0.1, 0, 1))), opacity)


def lower_teeth(palette: Palette, u: Field, v: Field) -> Field:
    """Above the lower lip, whose middle is v = 0; follows the jaw."""
    length, gap = _tooth_profile(u, _LOWER_ENDS, (0.052, 0.052, 0.054, 0.048, 0.042))
    edge = -length + 0.06 * u**2
    opacity = _ramp(v - edge, 0.018) * _ramp(0.34 - np.abs(u), 0.06)
    light = (0.50 + 0.30 * _arch_light(u)) * (1 - 0.18 * (1 - gap))
    return _layer(_tinted(palette.teeth, light), opacity)


def upper_teeth(palette: Palette, u: Field, v: Field, seal: float, photo: tuple[Field, Field, float] | None) -> Field:
    """Hang below ``seal``, the closed lips' line (v), fixed to the skull.

    photo: the portrait's own teeth as (RGB texture, opacity, gap between the lips in mouth widths) when it shows them.
    """
    length, gap = _tooth_profile(u, _UPPER_ENDS, _UPPER_LENGTHS)
    if photo is None:
        end = seal + length + 0.005 - 0.10 * u**2
    else:  # the photo's lower lip hides the edge: end where the visible part ends
        end = seal + min(0.17, photo[2]) * np.sqrt(np.clip(1 - (u / 0.51) ** 2, 0, 1))
    opacity = _ramp(end - v, 0.02) * _ramp(0.465 - np.abs(u), 0.06)
    below_seal = np.clip((v - seal + 0.04) / 0.06, 0, 1)
    light = (0.48 + 0.50 * _arch_light(u)) * (0.80 + 0.20 * below_seal)
    lines = 0.16 if photo is None else 0.07
    light *= 1 - (lines * np.clip((v - seal) / 0.06, 0.25, 1)) * (1 - gap)
    layer = _layer(_tinted(palette.teeth, light), opacity)
    if photo is not None:
        own, weight = photo[0], cv2.GaussianBlur(photo[1], (0, 0), 1.0)[..., None]
        painted = np.dstack([own, np.ones(u.shape, np.float32)])
        layer = np.asarray(layer * (1 - weight) + painted * weight, np.float32)
    return np.ascontiguousarray(layer, np.float32)
