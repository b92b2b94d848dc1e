"""Small rigid-looking head motion as linear displacement bases, and the breath of the shoulders."""

import cv2
import numpy as np
import numpy.typing as npt

from stages.infer.puppet.bases import Field, Grid
from stages.infer.puppet.geometry import Box, FaceGeometry, Points
from stages.infer.puppet.rbf import RadialBasis
from stages.infer.puppet.warp import invert

MOTIONS = ("shift_x", "shift_y", "roll", "zoom", "yaw", "pitch", "breath")
"""Units: shifts, breath: face widths; roll: radians; zoom: relative; yaw, pitch: parallax of the depth map."""
SHIFT_X, SHIFT_Y, ROLL, ZOOM, YAW, PITCH, BREATH = range(len(MOTIONS))

_GRID = 64
_DEPTH_LIMIT = 0.35
_BORDER = 0.05
_STILL = 0.002


class HeadWarp:
    """Backward displacement for a head pose over the part of the picture that can move."""

    def __init__(self, face: FaceGeometry) -> None:
        scout = Grid.over(face.picture, _GRID)
        reach = np.abs(_bases(face, scout.nodes())).max(axis=(0, 3)) > _STILL * face.face_width
        ys, xs = (np.flatnonzero(reach.any(axis=axis)) for axis in (1, 0))
        cell_x, cell_y = face.picture.width / scout.columns, face.picture.height / scout.rows
        box = Box(int(xs[0] * cell_x), int(ys[0] * cell_y), int((xs[-1] + 1) * cell_x), int((ys[-1] + 1) * cell_y))
        self.box = box.grown(2, face.picture)
        self._grid = Grid.over(self.box, _GRID)
        nodes = self._grid.nodes()
        self._nodes = self._grid.index_of(nodes.astype(np.float32))
        self._bases = np.ascontiguousarray(_bases(face, nodes), np.float32)

    def forward(self, pose: npt.NDArray[np.float32]) -> Field:
        """[rows, columns, 2] displacement of picture points in pixels for a pose [len(MOTIONS)]."""
        field: Field = np.tensordot(pose, self._bases, 1)
        return field

    def backward(self, forward: Field) -> Field:
        """[box height, box width, 2] pixels from an output pixel to where it was in the still picture."""
        back = invert(forward, self._grid, self._nodes, iterations=2)
        return np.asarray(
            cv2.resize(back, (self.box.width, self.box.height), interpolation=cv2.INTER_LINEAR), np.float32
        )

    def moved(self, forward: Field, points: Points) -> Points:
        """[n, 2] picture points where the pose takes them."""
        at = self._grid.index_of(points.astype(np.float32))[:, None, :]
        step = cv2.remap(forward, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        return points + np.asarray(step, np.float64).reshape(-1, 2)


def _bases(face: FaceGeometry, nodes: Points) -> Points:
    """[len(MOTIONS), rows, columns, 2] displacement at nodes for one unit of each motion, in pixels."""
    width, height = face.face_width, face.face_height
    x, y = nodes[..., 0], nodes[..., 1]
    centre = (face.low + face.high) / 2
    edge = np.minimum(
        np.minimum(x, face.picture.width - 1 - x) / face.picture.width,
        np.minimum(y, face.picture.height - 1 - y) / face.picture.height,
    )
    inside = np.clip(edge / _BORDER, 0, 1)
    # Full motion on face and hair, smoothly none at about two half axes of the head's ellipse.
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
    none = np.zeros_like(x)
    return np.stack(
        [
            np.stack([weight * width, none], axis=-1),
            np.stack([none, weight * width], axis=-1),
            np.stack([-(y - neck[1]) * weight, (x - neck[0]) * weight], axis=-1),
            (nodes - centre) * weight[..., None],
            np.stack([depth * weight * width, none], axis=-1),
            np.stack([none, depth * weight * width], axis=-1),
            np.stack([none, shoulders * width], axis=-1),
        ]
    )
