"""Residual blocks over space and time (Blattmann et al. 2023, section 3 and appendix D: temporal layers after spatial).

Activations are [B * F, C, h, w], the frames of an item one after the other.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, silu

from stages.infer.sonic.nets.unet.optimization import OptimizationFlags

GROUPS = 32


class Mixer(nn.Module):
    """Learned blend: ``a * spatial + (1 - a) * temporal`` with ``a = sigmoid(mix_factor)``."""

    def __init__(self) -> None:
        super().__init__()
        self.mix_factor = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, spatial: Tensor, temporal: Tensor) -> Tensor:
        # One pass over the activations instead of three.
        return torch.lerp(temporal, spatial, self.mix_factor.sigmoid())


class SpatialResBlock(nn.Module):
    """Norm, SiLU, 3x3, time, norm, SiLU, 3x3, plus the input, by a 1x1 where the width changes."""

    def __init__(self, channels: int, out: int, time: int, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, channels, eps)
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.time_emb_proj = nn.Linear(time, out)
        self.norm2 = nn.GroupNorm(GROUPS, out, eps)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(channels, out, 1) if channels != out else None

    def forward(self, x: Tensor, time: Tensor, frames: int) -> Tensor:
        """x [B * F, C, h, w], time [B, time] with SiLU applied -> [B * F, out, h, w]."""
        h: Tensor = self.conv1(silu(self.norm1(x), inplace=True))
        h += self.time_emb_proj(time).repeat_interleave(frames, 0)[:, :, None, None]
        h = self.conv2(silu(self.norm2(h), inplace=True))
        h += x if self.conv_shortcut is None else self.conv_shortcut(x)
        return h


class TemporalResBlock(nn.Module):
    """The same over frames: 3x1x1 convolutions, statistics over all frames of an item."""

    def __init__(self, channels: int, time: int, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, channels, eps)
        self.conv1 = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0))
        self.time_emb_proj = nn.Linear(time, channels)
        self.norm2 = nn.GroupNorm(GROUPS, channels, eps)
        self.conv2 = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0))
        self.flat = True

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x [B, C, F, h, w], time [B, time] with SiLU applied -> the shape of x."""
        shape = x.shape
        if self.flat:
            x = x.flatten(3)
        scale = self.time_emb_proj(time).reshape(shape[0], shape[1], *(1,) * (x.dim() - 2))
        h = self._over_frames(self.conv1, silu(self.norm1(x), inplace=True))
        h += scale
        h = self._over_frames(self.conv2, silu(self.norm2(h), inplace=True))
        h += x
        return h.reshape(shape)

    def _over_frames(self, conv: nn.Conv3d, x: Tensor) -> Tensor:
        """Flat: the pixels of a frame are one axis, and the filter covers one pixel at a time."""
        if not self.flat:
            out: Tensor = conv(x)
            return out
        return conv2d(x, conv.weight.squeeze(-1), conv.bias, padding=(1, 0))


class SpatioTemporalResBlock(nn.Module):
    """A spatial block, a temporal block on its output, and their blend."""

    def __init__(self, channels: int, out: int, time: int, eps: float) -> None:
        super().__init__()
        self.spatial_res_block = SpatialResBlock(channels, out, time, eps)
        self.temporal_res_block = TemporalResBlock(out, time, eps)
        self.time_mixer = Mixer()

    def forward(self, x: Tensor, time: Tensor, frames: int) -> Tensor:
        """x [B * F, C, h, w], time [B, time] with SiLU applied; returns [B * F, out, h, w]."""
        spatial = self.spatial_res_block(x, time, frames)
        by_item = torch.unflatten(spatial, 0, (-1, frames)).transpose(1, 2)
        temporal = self.temporal_res_block(by_item, time).transpose(1, 2).flatten(0, 1)
        out: Tensor = self.time_mixer(spatial, temporal)
        return out

    def apply_optimization(self, flags: OptimizationFlags) -> None:
        """Apply the flags that concern this block."""
        self.temporal_res_block.flat = flags.flat_convolution


class Downsample(nn.Module):
    """Half the size by a strided 3x3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class Upsample(nn.Module):
    """Twice the size by the nearest pixel and a 3x3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(interpolate(x, scale_factor=2.0, mode="nearest"))
        return out
