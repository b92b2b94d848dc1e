"""The portrait on its way to the networks: crop, output size, face mask, and the tensors (box arithmetic in float64).

All resizing is Pillow's LANCZOS, which widens its window when it reduces.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

GRID = 64
"""Both sides of the output are multiples: three halvings in the UNet after the VAE's factor of 8."""

Box = tuple[float, float, float, float]
Rectangle = tuple[int, int, int, int]

_CLIP_SIDE = 224
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True)
class Picture:
    """What the networks get of the portrait, on the CPU."""

    ref: Tensor
    """Float32 [1, 3, H, W], RGB, -1..1: for the VAE."""
    mask: Tensor
    """Float32 [1, 1, H, W], 0..1: the face's rectangle with soft edges, for the UNet's audio attention."""
    clip_pixels: Tensor
    """Float32 [1, 3, 224, 224], normalised as CLIP wants it."""


def crop_square(box_xyxy: Box, expand_ratio: float, width: int, height: int) -> Rectangle:
    """The square around a face, as large as the expanded box allows inside the picture.

    The box grows by ``expand_ratio`` of its size on each side and is cut at the picture's borders; the square has the
    shorter side of what is left, and lies along the longer one as near to the face's centre as it can.

    :param box_xyxy: face in pixels: left, top, right, bottom.
    :param expand_ratio: margin, 0.1 to 1; the official program takes 0.5.
    :returns: left, top, right, bottom, half-open; each edge is rounded for itself, half to even.
    """
    x1, y1, x2, y2 = (float(edge) for edge in box_xyxy)
    margin_x, margin_y = expand_ratio * (x2 - x1), expand_ratio * (y2 - y1)
    left, top = max(x1 - margin_x, 0.0), max(y1 - margin_y, 0.0)
    right, bottom = min(x2 + margin_x, float(width)), min(y2 + margin_y, float(height))
    across, down = right - left, bottom - top
    centre_x, centre_y = (left + right) / 2, (top + bottom) / 2
    if across < down:
        centre_y = _towards(centre_y, (y1 + y2) / 2, (down - across) / 2)
    else:
        centre_x = _towards(centre_x, (x1 + x2) / 2, (across - down) / 2)
    half = min(across, down) / 2
    return round(centre_x - half), round(centre_y - half), round(centre_x + half), round(centre_y + half)


def output_size(width: int, height: int, min_resolution: int) -> tuple[int, int]:
    """Width and height of the video: the short side is about ``min_resolution``, both rounded to multiples of 64.

    The picture is stretched to it. There is no upper limit: a long picture makes a long video frame.
    """
    scale = min_resolution / min(width, height)
    return round(width * scale / GRID) * GRID, round(height * scale / GRID) * GRID


def mask_rectangle(box_xywh: Box, width: int, height: int, area: float = 1.1) -> Rectangle:
    """The part of the picture in which audio acts: the face box enlarged ``area`` times about its centre.

    :param box_xywh: face in pixels: left, top, width, height.
    :returns: left, top, right, bottom, half-open, inside the picture; empty when the box lies outside it.
    """
    x, y, box_width, box_height = (float(number) for number in box_xywh)
    x2, y2 = x + box_width, y + box_height
    # Floor divisions as in the official program: an edge may move by a pixel without them.
    half_width, half_height = (x2 - x) * area // 2, (y2 - y) * area // 2
    centre_x, centre_y = (x2 + x) // 2, (y2 + y) // 2
    return (
        int(max(centre_x - half_width, 0)),
        int(max(centre_y - half_height, 0)),
        int(max(min(centre_x + half_width, width), 0)),
        int(max(min(centre_y + half_height, height), 0)),
    )


def prepare_picture(rgb: NDArray[np.uint8], box_xywh: Box, min_resolution: int, area: float = 1.1) -> Picture:
    """The three tensors of a portrait.

    :param rgb: uint8 [H0, W0, 3], upright, cropped where that is wanted.
    :param box_xywh: the face in its pixels: left, top, width, height.
    """
    height, width = rgb.shape[:2]
    size = output_size(width, height, min_resolution)
    left, top, right, bottom = mask_rectangle(box_xywh, width, height, area)
    face = np.zeros((height, width), np.uint8)
    face[top:bottom, left:right] = 255

    resized = Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS)
    mask = Image.fromarray(face).resize(size, Image.Resampling.LANCZOS)
    # CLIP sees the output's picture squashed to a square, not the original.
    square = resized.resize((_CLIP_SIDE, _CLIP_SIDE), Image.Resampling.LANCZOS)
    mean, std = (torch.tensor(three)[:, None, None] for three in (_CLIP_MEAN, _CLIP_STD))
    return Picture(
        ref=(_unit(resized) - 0.5) / 0.5,
        mask=_unit(mask),
        clip_pixels=(_unit(square) - mean) / std,
    )


def _towards(start: float, goal: float, at_most: float) -> float:
    return start + min(max(goal - start, -at_most), at_most)


def _unit(image: Image.Image) -> Tensor:
    """Float32 [1, channels, H, W], 0..1."""
    pixels = np.asarray(image).reshape(image.height, image.width, -1)
    return torch.from_numpy(pixels.copy()).movedim(2, 0)[None].float() / 255
