"""Blinks: the upper lid slides down over a still eyeball."""

from dataclasses import dataclass

import numpy as np

from stages.infer.puppet import landmarks as lm
from stages.infer.puppet.bases import Field
from stages.infer.puppet.geometry import Box, FaceGeometry

_REACH = 0.75
"""Half the side of an eye's box in eye widths."""
_LASHES = 0.32
"""Share of the lid fold that moves rigidly, lashes and all; the skin above it stretches."""
_CLOSURE = 0.98


@dataclass(frozen=True)
class Lid:
    """One upper lid. Arrays are [box height, box width], in pixels along the eye's own downward axis."""

    box: Box
    down: Field
    edge: Field
    """Where the open lid's edge lies."""
    gap: Field
    """How far the edge travels to close; tapers to 0 beyond the corners."""
    at: Field
    """Where each pixel lies."""
    fold: float
    """Height of the skin above the edge that takes part."""

    def layer(self, closure: float) -> tuple[Field, Field]:
        """The moving lid: [box height, box width, 2] pixels from an output pixel to its source, and its opacity.

        closure: 0 open .. 1 shut. The eyeball below the lid's edge does not move: there the opacity is 0.
        """
        travel = self.gap * np.float32(closure * _CLOSURE)
        edge, rigid = self.edge + travel, _LASHES * self.fold
        top = self.edge - self.fold
        stretched = top + (self.at - top) * (self.fold - rigid) / (travel + self.fold - rigid)
        source = np.where(self.at > edge - rigid, self.at - travel, np.where(self.at > top, stretched, self.at))
        displacement: Field = (source - self.at)[..., None] * self.down
        return displacement, np.clip(edge - self.at + np.float32(0.5), 0, 1)


def lids(face: FaceGeometry) -> tuple[Lid, ...]:
    """Both upper lids of a face."""
    return tuple(_lid(face, upper, lower, brow) for upper, lower, brow in lm.EYES)


def _lid(face: FaceGeometry, upper: lm.Contour, lower: lm.Contour, brow: lm.Contour) -> Lid:
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
    taper = np.clip(1 - np.maximum(0, np.maximum(-u, u - width)) / (0.12 * width), 0, 1)
    brow_height = float(np.median((face.contour(brow) - origin) @ down))
    fold = max(0.10 * width, 0.55 * (float(((top - origin) @ down).min()) - brow_height))
    return Lid(
        box=box,
        down=down.astype(np.float32),
        edge=edge.astype(np.float32),
        gap=(np.maximum(floor - edge, 0) * taper).astype(np.float32),
        at=v.astype(np.float32),
        fold=fold,
    )
