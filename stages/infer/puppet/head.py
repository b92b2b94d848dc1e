"""Small head motion as linear displacement bases, and the shoulders' motion of breathing."""

import cv2
import numpy as np
import numpy.typing as npt

from stages.infer.puppet.bases import Field, Grid
from stages.infer.puppet.geometry import Box, FaceGeometry, Points
from stages.infer.puppet.rbf import RadialBasis
from stages.infer.puppet.warp import invert

MOTIONS = ("shift_x", "shift_y", "roll", "zoom", "yaw", "pitch", "breath")
"""Units: face widths for shifts and breath, radians for roll, a factor for zoom, parallax of the depth map for yaw and
pitch."""
SHIFT_X, SHIFT_Y, ROLL, ZOOM, YAW, PITCH, BREATH = range(len(MOTIONS))

_GRID = 64
_DEPTH_LIMIT = 0.35
_BORDER = 0.05
_STILL = 0.002


class HeadWarp:
    """Displacement fields of a head pose over the moving part of the picture."""

    def __init__(self, face: FaceGeometry) -> None:
        coarse = Grid.over(face.picture, _GRID)
        moving = np.abs(_bases(face, coarse.nodes())).max(axis=(0, 3)) > _STILL * face.face_width
        ys, xs = (np.flatnonzero(moving.any(axis=axis)) for axis in (1, 0))
        cell_x, cell_y = face.picture.width / coarse.columns, face.picture.height / coarse.rows
        box = Box(int(xs[0] * cell_x), int(ys[0] * cell_y), int((xs[-1] + 1) * cell_x), int((ys[-1] + 1) * cell_y))
        self.box = box.grown(2, face.picture)
        self._grid = Grid.over(self.box, _GRID)
        nodes = self._grid.nodes()
        self._nodes = self._grid.index_of(nodes.astype(np.float32))
        self._bases = np.ascontiguousarray(_bases(face, nodes), np.float32)

    def forward(self, pose: npt.NDArray[np.float32]) -> Field:
        """Displacement [rows, columns, 2] of picture points in pixels for a pose [len(MOTIONS)]."""
        field: Field = np.tensordot(pose, self._bases, 1)
        return field

    def backward(self, forward: Field) -> Field:
        """Displacement [box height, box width, 2] in pixels from an output pixel to its source in the portrait."""
        back = invert(forward, self._grid, self._nodes, iterations=2)
        return np.asarray(
            cv2.resize(back, (self.box.width, self.box.height), interpolation=cv2.INTER_LINEAR), np.float32
        )

    def displace(self, forward: Field, points: Points) -> Points:
        """Displace picture points [n, 2] by the pose."""
        index = self._grid.index_of(points.astype(np.float32))[:, None, :]
        step = cv2.remap(forward, index, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        return points + np.asarray(step, np.float64).reshape(-1, 2)


def _bases(face: FaceGeometry, nodes: Points) -> Points:
    """Displacement [len(MOTIONS), rows, columns, 2] at the nodes for one unit of each motion, in pixels."""
    width, height = face.face_width, face.face_height
    x, y = nodes[..., 0], nodes[..., 1]
    centre = (face.low + face.high) / 2
    edge = np.minimum(
        np.minimum(x, face.picture.width - 1 - x) / face.picture.width,
        np.minimum(y, face.picture.height - 1 - y) / face.picture.height,
    )
    inside = np.clip(edge / _BORDER, 0, 1)
    # Full motion on face and hair, fading to none at about two half axes of the head's ellipse.
    radius = np.hypot((x - centre[0]) / (0.78 * width), (y - (centre[1] - 0.12 * height)) / (0.82 * height))
    weight = np.clip((2.05 - radius) / 1.10, 0, 1)
    weight = weight * weight * (3 - 2 * weight) * inside
    near = -face.depth[:468:3]
    near = (near - near.mean()) / width
    relief = RadialBasis(face.points[:468:3] / width, near[:, None], "gaussian", scale=1.6, smoothing=1.0)
    depth = np.clip(relief(nodes.reshape(-1, 2) / width).reshape(x.shape), -_DEPTH_LIMIT, _DEPTH_LIMIT)
    neck = np.array([centre[0], face.high[1] + 0.25 * height])
    shoulders = np.clip((y - face.high[1]) / (0.6 * height), 0, 1) * inside
    shoulders *= np.exp(-(((x - centre[0]) / (2.2 * width)) ** 2))
    zero = np.zeros_like(x)
    return np.stack(
        [
            np.stack([weight * width, zero], axis=-1),
            np.stack([zero, weight * width], axis=-1),
            np.stack([-(y - neck[1]) * weight, (x - neck[0]) * weight], axis=-1),
            (nodes - centre) * weight[..., None],
            np.stack([depth * weight * width, zero], axis=-1),
            np.stack([zero, depth * weight * width], axis=-1),
            np.stack([zero, shoulders * width], axis=-1),
        ]
    )
