"""RIFE's IFNet, version HDv3 (Huang et al. 2022, section 3): the frame half way between two, by intermediate flow.

Three blocks refine a flow and a blend weight from coarse to fine. Each runs on the pair in both temporal directions, as
one batch, and the two results are averaged.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

SCALES = (4, 2, 1)
"""Each block works at the pictures' size divided by this."""
MULTIPLE = 16
"""Both sides must be multiples of this: the coarsest scale, and two halvings in the block."""

_CHANNELS = 90
_INPUTS = 11
"""Two warped pictures, the blend weight, the flow of both."""


@dataclass(frozen=True, slots=True)
class Midpoint:
    """The frame half way between two; float32 also for half-precision networks, float64 for float64."""

    picture: Tensor
    """[n, 3, H, W], about 0..1, not clamped."""
    flow: Tensor
    """[n, 4, H, W] in pixels: offset (x, y) into the first picture, then into the second."""
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

    def forward(self, inputs: Tensor, flow: Tensor, scale: int) -> tuple[Tensor, Tensor]:
        """Corrections to flow and weight: [n, 4, H, W] and [n, 1, H, W].

        inputs: both warped pictures and the weight before its sigmoid, [n, 7, H, W]; flow: [n, 4, H, W] in pixels.
        """
        x = torch.cat([_resize(inputs, 1 / scale), _resize(flow, 1 / scale) / scale], 1)
        x = self.conv0(x)
        for pair in (self.convblock0, self.convblock1, self.convblock2, self.convblock3):
            x = pair(x) + x
        return _resize(self.conv1(x), scale) * scale, _resize(self.conv2(x), scale)


class FlowNet(nn.Module):
    """The interpolator. In the file its keys have the prefix ``module.``; ``block_tea.*`` was used in training only."""

    def __init__(self) -> None:
        super().__init__()
        self.block0 = IFBlock()
        self.block1 = IFBlock()
        self.block2 = IFBlock()

    def forward(self, a: Tensor, b: Tensor) -> Midpoint:
        """The frame half way between two.

        Flow, weight and warping are float32 when the parameters are in half precision: on 512 pixels a sampling
        position has a resolution of an eighth of a pixel in float16 and of a whole one in bfloat16.

        a: [n, 3, H, W], 0..1, with H and W multiples of 16; b: the later picture, of the same shape. Raises ValueError
        for another size.
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
            inputs = torch.cat(
                [torch.cat([warped_a, warped_b, weight], 1), torch.cat([warped_b, warped_a, -weight], 1)]
            )
            flow_delta, weight_delta = block(inputs.to(dtype), torch.cat([flow, _swapped(flow)]).to(dtype), scale)
            forward, backward = flow_delta.to(exact).chunk(2)
            flow = flow + (forward + _swapped(backward)) / 2
            forward, backward = weight_delta.to(exact).chunk(2)
            weight = weight + (forward - backward) / 2
            warped_a, warped_b = _warp(a, flow[:, :2], grid), _warp(b, flow[:, 2:], grid)
        weight = torch.sigmoid(weight)
        return Midpoint(warped_a * weight + warped_b * (1 - weight), flow, weight)


def _swapped(flow: Tensor) -> Tensor:
    """The flow in the other temporal direction."""
    return torch.cat([flow[:, 2:], flow[:, :2]], 1)


def _resize(x: Tensor, factor: float) -> Tensor:
    if factor == 1:
        return x
    return functional.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)


def _grid(like: Tensor) -> Tensor:
    """Pixel positions, -1..1, [1, H, W, 2] as x, y; computed in float32, then cast, as in RIFE's program."""
    ys, xs = (torch.linspace(-1, 1, side, device=like.device) for side in like.shape[2:])
    return torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1)[None].to(like.dtype)


def _warp(picture: Tensor, flow: Tensor, grid: Tensor) -> Tensor:
    """Sample picture [n, 3, H, W] at offsets ``flow`` [n, 2, H, W] in pixels; the border is repeated outside."""
    height, width = picture.shape[2:]
    offset = torch.stack([flow[:, 0] / ((width - 1) / 2), flow[:, 1] / ((height - 1) / 2)], -1)
    return functional.grid_sample(picture, grid + offset, mode="bilinear", padding_mode="border", align_corners=True)
