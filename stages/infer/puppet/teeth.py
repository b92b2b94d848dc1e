"""Textures of the mouth's inside in mouth coordinates: cavity, tongue, lower and upper teeth.

A texture pixel (column, row) is at u = column / density - HALF_WIDTH mouth widths from the mouth's centre along its
axis and v = row / density - ABOVE mouth widths towards the chin. Textures are float32 [rows, columns, 4]: red, green,
blue 0..255, premultiplied by the last channel, opacity 0..1.
"""

import cv2
import numpy as np
import numpy.typing as npt

from stages.infer.puppet.bases import Field
from stages.infer.puppet.palette import Palette, lab_to_rgb

HALF_WIDTH, ABOVE, BELOW = 0.62, 0.30, 0.62

# Right half of an arch seen from the front: end and length of each tooth in mouth widths, and its shade, which falls as
# the arch curves away from the light.
_UPPER_ENDS = (0.135, 0.240, 0.325, 0.385, 0.430)
_UPPER_LENGTHS = (0.086, 0.074, 0.079, 0.064, 0.052)
_UPPER_SHADES = (1.0, 0.96, 0.88, 0.76, 0.62)
_LOWER_ENDS = (0.080, 0.162, 0.245, 0.310)
_LOWER_LENGTHS = (0.052, 0.053, 0.057, 0.048)
_LOWER_SHADES = (0.86, 0.83, 0.77, 0.66)
_UPPER_REACH, _LOWER_REACH = 0.415, 0.290
"""End of the visible arch: beyond it is the dark of the cheek."""


def grid(density: float) -> tuple[Field, Field]:
    """u and v of every texture pixel, [rows, columns] each."""
    columns, rows = int(2 * HALF_WIDTH * density) + 1, int((ABOVE + BELOW) * density) + 1
    u, v = np.meshgrid(np.arange(columns) / density - HALF_WIDTH, np.arange(rows) / density - ABOVE)
    return u.astype(np.float32), v.astype(np.float32)


def _ramp(distance: npt.NDArray[np.floating], width: float) -> Field:
    """From 0 to 1 across an edge of the given width."""
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
    """Light falls off towards the corners, where the arch curves back."""
    result: Field = np.clip(1 - np.abs(u / 0.5) ** 2.5, 0, 1)
    return result


def _teeth(
    u: Field, ends: tuple[float, ...], lengths: tuple[float, ...], shades: tuple[float, ...]
) -> tuple[Field, Field]:
    """Length of the tooth at each u, rounded at its corners, and its light: shade, curvature, the gap beside it."""
    distance = np.abs(u)
    index = np.minimum(np.searchsorted(np.asarray(ends), distance), len(ends) - 1)
    starts = np.asarray((0.0, *ends[:-1]))[index]
    width = np.asarray(ends)[index] - starts
    across = np.clip((distance - starts) / width, 0, 1) * 2 - 1
    length = np.asarray(lengths)[index] * (1 - 0.20 * across**4)
    beside_gap = np.clip((1 - np.abs(across)) * width / 2 / 0.016, 0, 1)
    # A tooth is curved: its sides are slightly darker.
    light = np.asarray(shades)[index] * (1 - 0.10 * across**2) * (0.86 + 0.14 * beside_gap)
    return length.astype(np.float32), light.astype(np.float32)


def cavity(palette: Palette, u: Field) -> Field:
    """The opaque dark background."""
    return _layer(_tinted(palette.cavity, 0.55 + 0.45 * _arch_light(u)), np.ones_like(u))


def tongue(palette: Palette, u: Field, v: Field) -> Field:
    """The tongue, below v = -0.16, where v = 0 is the lower lip's middle; it follows the jaw."""
    top = v + 0.15 - 0.9 * u**2  # domed
    opacity = 0.92 * np.exp(-((u / 0.30) ** 4)) * _ramp(top, 0.09)
    groove = 1 - 0.08 * np.exp(-((u / 0.04) ** 2)) * np.clip(top / 0.05, 0, 1)
    return _layer(_tinted(palette.tongue, groove * (0.62 + 0.38 * np.clip(top / 0.16, 0, 1))), opacity)


def lower_teeth(palette: Palette, u: Field, v: Field) -> Field:
    """The lower teeth, above the lower lip, whose middle is v = 0; they follow the jaw."""
    length, light = _teeth(u, _LOWER_ENDS, _LOWER_LENGTHS, _LOWER_SHADES)
    opacity = _ramp(v + length - 0.10 * u**2, 0.016) * _ramp(_LOWER_REACH - np.abs(u), 0.06)
    return _layer(_tinted(palette.teeth, light * 0.86), opacity)


def upper_teeth(palette: Palette, u: Field, v: Field, seal: float, photo: tuple[Field, Field, float] | None) -> Field:
    """The upper teeth, below ``seal``, the closed lips' line (v); they are fixed to the skull.

    photo: the portrait's own teeth as (RGB texture, opacity, gap between the lips in mouth widths) when visible.
    """
    length, light = _teeth(u, _UPPER_ENDS, _UPPER_LENGTHS, _UPPER_SHADES)
    if photo is None:
        end = seal + length - 0.14 * u**2
    else:  # the portrait's lower lip hides the edge: end at the end of the visible part
        end = seal + min(0.17, photo[2]) * np.sqrt(np.clip(1 - (u / 0.51) ** 2, 0, 1))
        light = np.float32(0.55) * light + np.float32(0.45) * _arch_light(u)
    reach = _UPPER_REACH if photo is None else _UPPER_REACH + 0.05
    opacity = _ramp(end - v, 0.018) * _ramp(reach - np.abs(u), 0.10)
    # Darker below the gum and the lip; the biting edge is translucent.
    from_edge = np.clip((end - v) / 0.022, 0, 1)
    light = light * (0.80 + 0.20 * np.clip((v - seal + 0.05) / 0.07, 0, 1)) * (0.90 + 0.10 * from_edge)
    layer = _layer(_tinted(palette.teeth, light), opacity)
    if photo is not None:
        # Below the upper teeth the portrait shows lower teeth or the lip's rim, which are not fixed to the skull.
        visible = photo[1] * _ramp(end + 0.01 - v, 0.03)
        weight = np.asarray(cv2.GaussianBlur(visible, (0, 0), 1.0), np.float32)[..., None]
        own = np.dstack([photo[0], np.ones(u.shape, np.float32)])
        layer = np.asarray(layer * (1 - weight) + own * weight, np.float32)
    return np.ascontiguousarray(layer, np.float32)
