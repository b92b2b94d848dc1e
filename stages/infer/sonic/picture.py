"""The portrait as input of the networks: output size, face mask and tensors (box arithmetic in float64).

Images are resized by Pillow's LANCZOS filter, which is antialiased.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

GRID = 64
"""Both sides of the output are multiples of this: the VAE divides by 8, the UNet three times by 2."""

Box = tuple[float, float, float, float]
Rectangle = tuple[int, int, int, int]

_CLIP_SIDE = 224
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True)
class Picture:
    """The portrait's tensors, on the CPU."""

    ref: Tensor
    """Float32 [1, 3, H, W], RGB, -1..1: for the VAE."""
    mask: Tensor
    """Float32 [1, 1, H, W], 0..1: the face's rectangle with soft edges, for the UNet's audio attention."""
    clip_pixels: Tensor
    """Float32 [1, 3, 224, 224], normalised with CLIP's mean and deviation."""


def output_size(width: int, height: int, min_resolution: int) -> tuple[int, int]:
    """Width and height of the video: the short side is about ``min_resolution``, both rounded to multiples of 64.

    The picture is stretched to it. There is no upper limit on the long side.
    """
    scale = min_resolution / min(width, height)
    return round(width * scale / GRID) * GRID, round(height * scale / GRID) * GRID


def mask_rectangle(box_xywh: Box, width: int, height: int, area: float = 1.1) -> Rectangle:
    """The rectangle in which audio attention acts: the face box enlarged ``area`` times about its centre.

    box_xywh: face in pixels: left, top, width, height. Returns left, top, right, bottom, half-open, inside the picture;
    empty when the box lies outside it.
    """
    x, y, box_width, box_height = (float(number) for number in box_xywh)
    x2, y2 = x + box_width, y + box_height
    # Floor divisions as in the official program: without them an edge may differ by a pixel.
    half_width, half_height = (x2 - x) * area // 2, (y2 - y) * area // 2
    centre_x, centre_y = (x2 + x) // 2, (y2 + y) // 2
    return (
        int(max(centre_x - half_width, 0)),
        int(max(centre_y - half_height, 0)),
        int(max(min(centre_x + half_width, width), 0)),
        int(max(min(centre_y + half_height, height), 0)),
    )


def prepare_picture(rgb: NDArray[np.uint8], box_xywh: Box, min_resolution: int, area: float = 1.1) -> Picture:
    """Compute the three tensors of a portrait.

    rgb: uint8 [H0, W0, 3], upright, cropped if the request asks for it; box_xywh: the face in its pixels: left, top,
    width, height.
    """
    height, width = rgb.shape[:2]
    size = output_size(width, height, min_resolution)
    left, top, right, bottom = mask_rectangle(box_xywh, width, height, area)
    face = np.zeros((height, width), np.uint8)
    face[top:bottom, left:right] = 255

    resized = Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS)
    mask = Image.fromarray(face).resize(size, Image.Resampling.LANCZOS)
    # CLIP gets the resized picture stretched to a square, not the original.
    square = resized.resize((_CLIP_SIDE, _CLIP_SIDE), Image.Resampling.LANCZOS)
    mean, std = (torch.tensor(three)[:, None, None] for three in (_CLIP_MEAN, _CLIP_STD))
    return Picture(
        ref=(_unit(resized) - 0.5) / 0.5,
        mask=_unit(mask),
        clip_pixels=(_unit(square) - mean) / std,
    )


def _unit(image: Image.Image) -> Tensor:
    """Float32 [1, channels, H, W], 0..1."""
    pixels = np.asarray(image).reshape(image.height, image.width, -1)
    return torch.from_numpy(pixels.copy()).movedim(2, 0)[None].float() / 255
