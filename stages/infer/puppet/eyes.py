"""Eyes: lids that close over a still eyeball, lashes, and a moving gaze.

The portrait does not show the lid that unfolds in a blink, and skin stretched down from above would smear lashes and
brows into stripes. So the lid is painted, in the colours of the skin around the eye.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stages.infer.puppet import landmarks as lm
from stages.infer.puppet.bases import Field
from stages.infer.puppet.geometry import Box, FaceGeometry

_REACH = 0.75
"""Half the side of an eye's box in eye widths."""
_CLOSURE = 0.98
_LASH_LINE, _LASH_LENGTH, _LASH_PITCH = 0.030, 0.055, 0.050
"""Thickness of the lid's dark rim, length of the lashes and distance between them, in eye widths."""
_COVER = 0.28
"""Height of the painted skin above the open lid's edge, in eye widths: it covers the lashes that point up."""
_GAZE_FADE = 0.30
"""Share of the eye's width at each corner over which the eyeball's movement fades out."""


@dataclass(frozen=True)
class Eye:
    """One eye. Arrays are [box height, box width]; distances in pixels along the eye's own axes, down positive."""

    box: Box
    depth: Field
    """Downward position of each pixel."""
    edge: Field
    """Downward position of the open lid's edge."""
    gap: Field
    """Travel of the edge until the eye is closed; fades to 0 beyond the corners."""
    width: float
    skin: Field
    """[box height, box width, 3] RGB 0..255 of the unfolded lid, without its shading."""
    lashes: Field
    """1 on a lash .. 0 between two."""
    within: Field
    """1 between the corners, fading to 0 at them."""
    ball: Field
    """[box height, box width, 2] displacement in pixels for a gaze of one eye width to the picture's right."""

    def lid(self, closure: float) -> tuple[Field, Field]:
        """Draw the lid: RGB 0..255 [box height, box width, 3] and opacity [box height, box width].

        closure: 0 open .. 1 closed. The opacity is 0 below the lid's edge and its lashes: the eyeball does not move.
        """
        travel = self.gap * np.float32(closure * _CLOSURE)
        below = self.depth - self.edge - travel  # below the moving edge
        unfolded = np.clip(-below / np.maximum(travel, 1), 0, 1)
        from_fold = (self.depth - self.edge) / self.width
        # A lid is part of a sphere: bright in its middle, darker at the rim and at the crease.
        light = 0.95 + 0.08 * np.sin(np.pi * unfolded) - 0.13 * np.exp(-(((from_fold + 0.03) / 0.045) ** 2))
        top = np.clip((from_fold + _COVER) / (_COVER - 0.10), 0, 1)  # fades out above the open eye's lashes
        skin = np.clip(0.5 - below, 0, 1) * top * top * (3 - 2 * top) * self.within
        rim = np.exp(-((below / max(0.8, _LASH_LINE * self.width)) ** 2))
        lash = self.lashes * np.exp(-np.maximum(below, 0) / (_LASH_LENGTH * self.width)) * (below > 0)
        dark = np.clip(0.58 * rim + 0.35 * lash, 0, 0.75) * self.within
        opacity = np.maximum(skin, dark) * np.float32(min(1.0, 3 * closure))
        colour = self.skin * (light * (1 - dark))[..., None]
        return np.minimum(colour, 255).astype(np.float32), opacity.astype(np.float32)


def eyes(image: npt.NDArray[np.uint8], face: FaceGeometry) -> tuple[Eye, ...]:
    """Both eyes of a face. image: RGB [H, W, 3]."""
    return tuple(_eye(image, face, upper, lower) for upper, lower in lm.EYES)


def _eye(image: npt.NDArray[np.uint8], face: FaceGeometry, upper: lm.Contour, lower: lm.Contour) -> Eye:
    top, bottom = face.contour(upper), face.contour(lower)
    origin = top[0]
    width = float(np.linalg.norm(top[-1] - origin))
    across = (top[-1] - origin) / width
    down = np.array([-across[1], across[0]])
    if down @ face.down < 0:
        down = -down
    centre, reach = top.mean(axis=0), _REACH * width
    box = Box(
        max(face.region.x0, int(centre[0] - reach)),
        max(face.region.y0, int(centre[1] - reach)),
        min(face.region.x1, int(centre[0] + reach)),
        min(face.region.y1, int(centre[1] + reach)),
    )
    y, x = np.mgrid[box.slices].astype(np.float64)
    u = (x - origin[0]) * across[0] + (y - origin[1]) * across[1]
    v = (x - origin[0]) * down[0] + (y - origin[1]) * down[1]
    edge = np.interp(u, (top - origin) @ across, (top - origin) @ down) - 0.02 * width
    floor = np.interp(u, (bottom - origin) @ across, (bottom - origin) @ down)
    beyond = np.maximum(0, np.maximum(-u, u - width))
    inside = np.clip(np.minimum(u, width - u) / (_GAZE_FADE * width), 0, 1)
    opening = np.clip(np.minimum(v - edge, floor - v), 0, 1)
    ball = (inside * inside * (3 - 2 * inside) * opening * width)[..., None] * across
    return Eye(
        box=box,
        depth=v.astype(np.float32),
        edge=edge.astype(np.float32),
        gap=(np.maximum(floor - edge, 0) * np.clip(1 - beyond / (0.12 * width), 0, 1)).astype(np.float32),
        width=width,
        skin=_lid_skin(image[box.slices], beyond < 0.12 * width, v - edge, v - floor, width),
        lashes=_lashes(u + 0.25 * v, width),
        within=np.clip(1 - beyond / (0.08 * width), 0, 1).astype(np.float32),
        ball=ball.astype(np.float32),
    )


def _lashes(along: npt.NDArray[np.float64], width: float) -> Field:
    """Stripes where the eye is large enough to resolve them, else an even shade."""
    contrast = np.clip((_LASH_PITCH * width - 2.0) / 2.0, 0, 1)
    stripes = 0.5 + 0.5 * contrast * np.cos(2 * np.pi * along / (_LASH_PITCH * width))
    return np.asarray(stripes, np.float32)


def _lid_skin(
    patch: npt.NDArray[np.uint8],
    between: npt.NDArray[np.bool_],
    above_edge: npt.NDArray[np.float64],
    below_floor: npt.NDArray[np.float64],
    width: float,
) -> Field:
    """[h, w, 3] the skin around the eye, without lashes and brow, smoothly extended over the eye.

    between: mask of the part between the corners; above_edge: pixels below the upper lid's edge (negative above);
    below_floor: pixels below the lower lid's edge; width: of the eye, pixels.
    """
    colours = patch.astype(np.float32)
    light = colours.mean(axis=2)
    eye = between & (above_edge > -_COVER * 0.45 * width) & (below_floor < 0.10 * width)
    close = ~eye & (above_edge > -0.50 * width) & (below_floor < 0.45 * width)
    ordinary = float(np.percentile(light[close], 60)) if close.any() else float(light.mean())
    known = np.where(~eye, np.clip((light - 0.55 * ordinary) / (0.2 * ordinary + 1), 0.02, 1), 0).astype(np.float32)
    out = np.zeros_like(colours)
    total = np.full(light.shape, 1e-6, np.float32)
    # Nearby skin has the largest weight; distant skin counts where there is no other.
    for reach, share in ((0.08, 1.0), (0.16, 0.1), (0.40, 0.01)):
        sigma = max(0.8, reach * width)
        out += share * np.asarray(cv2.GaussianBlur(colours * known[..., None], (0, 0), sigma), np.float32)
        total += share * np.asarray(cv2.GaussianBlur(known, (0, 0), sigma), np.float32)
    return np.asarray(out / total[..., None], np.float32)
