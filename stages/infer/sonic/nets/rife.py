"""RIFE's IFNet, version HDv3 (Huang et al. 2022, section 3): the picture half way between two, by intermediate flow.

Three blocks refine a flow and a blend weight from coarse to fine. Each looks at the pair in both temporal directions,
one batch here, and the two answers are averaged.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

SCALES = (4, 2, 1)
"""Each block works at one over this of the pictures' size."""
MULTIPLE = 16
"""Both sides must be multiples: the coarsest scale and two halvings in the block."""

_CHANNELS = 90
_INPUTS = 11
"""Two warped pictures, the blend weight, the flow of both."""


@dataclass(frozen=True, slots=True)
class Midpoint:
    """What lies half way between two pictures; in float32 also for the half types, float64 for float64."""

    picture: Tensor
    """[n, 3, H, W], about 0..1, not clamped."""
    flow: Tensor
    """[n, 4, H, W] in pixels: where to look (x, y) in the first picture, then in the second."""
    weight: Tensor
    """[n, 1, H, W], 0..1: share of the first picture."""


def _conv(channels_in: int, channels: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, channels, 3, stride, 1), nn.PReLU(channels))


def _head(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(channels, channels // 2, 4, 2, 1),
        nn.PReLU(channels // 2),
        nn.ConvTranspose2d(channels // 2, out, 4, 2, 1),
    )


class IFBlock(nn.Module):
    """One refinement: two halvings, four residual pairs of convolutions, a head for flow and one for weight."""

    def __init__(self) -> None:
        super().__init__()
        c = _CHANNELS
        self.conv0 = nn.Sequential(_conv(_INPUTS, c // 2, 2), _conv(c // 2, c, 2))
        self.convblock0 = nn.Sequential(_conv(c, c), _conv(c, c))
        self.convblock1 = nn.Sequential(_conv(c, c), _conv(c, c))
        self.convblock2 = nn.Sequential(_conv(c, c), _conv(c, c))
        self.convblock3 = nn.Sequential(_conv(c, c), _conv(c, c))
        self.conv1 = _head(c, 4)
        self.conv2 = _head(c, 1)

    def forward(self, seen: Tensor, flow: Tensor, scale: int) -> tuple[Tensor, Tensor]:
        """Corrections to flow and weight.

        :param seen: both warped pictures and the weight before its sigmoid, [n, 7, H, W].
        :param flow: [n, 4, H, W] in pixels of [H, W].
        :returns: [n, 4, H, W] and [n, 1, H, W].
        """
        x = torch.cat([_resize(seen, 1 / scale), _resize(flow, 1 / scale) / scale], 1)
        x = self.conv0(x)
        for pair in (self.convblock0, self.convblock1, self.convblock2, self.convblock3):
            x = pair(x) + x
        return _resize(self.conv1(x), scale) * scale, _resize(self.conv2(x), scale)


class FlowNet(nn.Module):
    """The interpolator. In the file its keys carry the prefix ``module.``; ``block_tea.*`` served training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.block0 = IFBlock()
        self.block1 = IFBlock()
        self.block2 = IFBlock()

    def forward(self, a: Tensor, b: Tensor) -> Midpoint:
        """Half way between two pictures.

        Flow, weight and warping are float32 when the parameters are of a half type: on 512 pixels a sampling position
        would be an eighth of a pixel coarse in float16 and a whole one in bfloat16.

        :param a: [n, 3, H, W], 0..1; H and W are multiples of 16.
        :param b: the same shape, the later picture.
        :raises ValueError: for another size.
        """
        if a.shape[2] % MULTIPLE or a.shape[3] % MULTIPLE:
            raise ValueError(f"pictures: {tuple(a.shape[2:])}, both sides are multiples of {MULTIPLE}")
        dtype = next(self.parameters()).dtype
        exact = torch.promote_types(dtype, torch.float32)
        a, b = a.to(exact), b.to(exact)
        grid = _grid(a)
        flow, weight = a.new_zeros(len(a), 4, *a.shape[2:]), a.new_zeros(len(a), 1, *a.shape[2:])
        warped_a, warped_b = a, b
        for block, scale in zip((self.block0, self.block1, self.block2), SCALES, strict=True):
            seen = torch.cat([torch.cat([warped_a, warped_b, weight], 1), torch.cat([warped_b, warped_a, -weight], 1)])
            found_flow, found_weight = block(seen.to(dtype), torch.cat([flow, _swapped(flow)]).to(dtype), scale)
            forth, back = found_flow.to(exact).chunk(2)
            flow = flow + (forth + _swapped(back)) / 2
            forth, back = found_weight.to(exact).chunk(2)
            weight = weight + (forth - back) / 2
            warped_a, warped_b = _warp(a, flow[:, :2], grid), _warp(b, flow[:, 2:], grid)
        weight = torch.sigmoid(weight)
        return Midpoint(warped_a * weight + warped_b * (1 - weight), flow, weight)


def _swapped(flow: Tensor) -> Tensor:
    """The flow as seen from the other temporal direction."""
    return torch.cat([flow[:, 2:], flow[:, :2]], 1)


def _resize(x: Tensor, factor: float) -> Tensor:
    if factor == 1:
        return x
    return functional.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)


def _grid(like: Tensor) -> Tensor:
    """Positions of the pixels, -1..1, [1, H, W, 2] as x, y; formed in float32, then cast, as in RIFE's program."""
    ys, xs = (torch.linspace(-1, 1, side, device=like.device) for side in like.shape[2:])
    return torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1)[None].to(like.dtype)


def _warp(picture: Tensor, flow: Tensor, grid: Tensor) -> Tensor:
    """The picture [n, 3, H, W] looked at ``flow`` [n, 2, H, W] pixels away, its border going on beyond the edge."""
    height, width = picture.shape[2:]
    away = torch.stack([flow[:, 0] / ((width - 1) / 2), flow[:, 1] / ((height - 1) / 2)], -1)
    return functional.grid_sample(picture, grid + away, mode="bilinear", padding_mode="border", align_corners=True)
