"""Pre- and post-processing of the published face detector, YOLOv5-face (Qi et al. 2021), and its choice of a face.

The network itself is an optional TorchScript file. The product does not run it: the face stage finds the face.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

SHORT_SIDE = 416
STRIDES = (8, 16, 32)
CONFIDENCE = 0.5
OVERLAP = 0.45
"""Intersection over union above which the less certain of two faces is dropped."""

Network = Callable[[Tensor, list[Tensor]], Tensor]


@dataclass(frozen=True, slots=True)
class Face:
    """A face in pixels of the picture."""

    box_xywh: tuple[float, float, float, float]
    """Left, top, width, height; may reach beyond the picture."""
    landmarks: NDArray[np.float64]
    """[5, 2] as x, y: both eyes, nose, both corners of the mouth."""
    score: float
    """0.5..1."""

    @property
    def area(self) -> float:
        """Area of the box, in square pixels."""
        return self.box_xywh[2] * self.box_xywh[3]


def network_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the network's input: short side about 416, both rounded to multiples of 32."""
    ratio = SHORT_SIDE / min(width, height)
    return int(width * ratio + 31) // 32 * 32, int(height * ratio + 31) // 32 * 32


def grids(width: int, height: int, device: torch.device | str = "cpu") -> list[Tensor]:
    """Cell positions of each stride for a picture of the network's size: float32 [1, 1, ny, nx, 2] as x, y."""
    made = []
    for stride in STRIDES:
        xs, ys = (torch.arange(side // stride, dtype=torch.float32, device=device) for side in (width, height))
        made.append(torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1)[None, None])
    return made


def decode_faces(raw: NDArray[np.float32], seen: tuple[int, int], picture: tuple[int, int]) -> list[Face]:
    """Convert the network's rows to faces, the most certain first.

    raw: float32 [n, 16] in pixels of the network's input: centre x, centre y, width, height, objectness, five landmarks
    as x, y, class probability; seen: width and height of that input; picture: width and height of the picture. Returns
    faces whose objectness and objectness times class are above 0.5, without those that overlap a more certain one by
    more than 0.45; in float64, because float32 can move the mask by a pixel.
    """
    scores = raw[:, 4] * raw[:, 15]
    likely = np.flatnonzero((raw[:, 4] > CONFIDENCE) & (scores > CONFIDENCE))
    rows = likely[np.argsort(-scores[likely], kind="stable")]
    scale = np.array(picture, np.float64) / np.array(seen, np.float64)
    size = raw[rows, 2:4] * scale
    corner = raw[rows, 0:2] * scale - size / 2
    landmarks = raw[rows, 5:15].reshape(-1, 5, 2) * scale
    return [
        Face((*corner[i].tolist(), *size[i].tolist()), landmarks[i], float(scores[rows[i]]))
        for i in _without_overlaps(corner, size)
    ]


def largest(faces: Sequence[Face], official: bool = False) -> Face:
    """The face to animate, of one or more.

    official: as the published program, which compares each face with the first one only and so takes the last face that
    is larger than the first; with three faces or more that need not be the largest.
    """
    if official:
        return [faces[0], *(face for face in faces if face.area > faces[0].area)][-1]
    return max(faces, key=lambda face: face.area)


class Detector:
    """A loaded network with its pre- and post-processing, in float32."""

    def __init__(self, network: Network, device: torch.device | str = "cpu") -> None:
        self.network = network
        self.device = torch.device(device)

    @classmethod
    def load(cls, path: Path, device: torch.device | str = "cpu") -> Self:
        """Load a TorchScript file, whose code runs in TorchScript's interpreter, not in Python's."""
        return cls(torch.jit.load(str(path), map_location=device).eval(), device)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def __call__(self, rgb: NDArray[np.uint8]) -> list[Face]:
        """Detect faces in rgb, uint8 [H, W, 3], upright; the most certain first."""
        height, width = rgb.shape[:2]
        seen = network_size(width, height)
        pixels = torch.from_numpy(np.array(rgb)).to(self.device).movedim(2, 0)[None].float()
        # No letterbox, no low pass, integer values: equals OpenCV's bilinear resize of bytes within one step of 255.
        resized = functional.interpolate(pixels, seen[::-1], mode="bilinear", align_corners=False).round() / 255
        rows = self.network(resized, grids(*seen, self.device))[0]
        return decode_faces(rows.float().cpu().numpy(), seen, (width, height))


def _without_overlaps(corner: NDArray[np.float64], size: NDArray[np.float64]) -> list[int]:
    """Greedy non-maximum suppression of boxes [n, 2] + [n, 2], the most certain first; indices of those kept."""
    end, area = corner + size, size.prod(1)
    kept: list[int] = []
    left = np.arange(len(corner))
    while len(left):
        best, rest = int(left[0]), left[1:]
        kept.append(best)
        shared = np.minimum(end[best], end[rest]) - np.maximum(corner[best], corner[rest])
        both = np.maximum(shared, 0).prod(1)
        left = rest[both <= OVERLAP * (area[best] + area[rest] - both)]
    return kept
