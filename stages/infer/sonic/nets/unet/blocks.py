"""The levels of the UNet: down, middle and up.

Normalisation adds 1e-6 to the variance in levels with transformers and in up blocks, 1e-5 elsewhere, as the published
weights require.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stages.infer.sonic.nets.unet.context import Context
from stages.infer.sonic.nets.unet.resnet import Downsample, SpatioTemporalResBlock, Upsample
from stages.infer.sonic.nets.unet.transformer import SpatioTemporalTransformer

FINE_EPS = 1e-6
COARSE_EPS = 1e-5


def apply_transformer(transformer: nn.Module, x: Tensor, frames: int, context: Context) -> Tensor:
    """Run a transformer with the keys and values of its two cross-attentions."""
    assert isinstance(transformer, SpatioTemporalTransformer)
    height, width = x.shape[-2:]
    out: Tensor = transformer(
        x,
        frames,
        context.spatial(transformer.spatial.attn2),
        context.temporal(transformer.temporal.attn2, height * width),
        context.mask(height, width),
        context.scale,
    )
    return out


def _transformers(count: int, channels: int, heads: int, context_dim: int) -> nn.ModuleList:
    return nn.ModuleList(SpatioTemporalTransformer(channels, heads, context_dim) for _ in range(count))


class DownBlock(nn.Module):
    """Residual blocks, each followed by a transformer if the level has attention; then half the size, unless last."""

    def __init__(
        self,
        channels: int,
        out: int,
        time: int,
        layers: int,
        heads: int,
        context_dim: int,
        *,
        has_attention: bool,
        downsample: bool,
    ) -> None:
        super().__init__()
        eps = FINE_EPS if has_attention else COARSE_EPS
        self.attentions = _transformers(layers if has_attention else 0, out, heads, context_dim)
        self.resnets = nn.ModuleList(
            SpatioTemporalResBlock(channels if n == 0 else out, out, time, eps) for n in range(layers)
        )
        self.downsamplers = nn.ModuleList([Downsample(out)] if downsample else [])

    def forward(self, x: Tensor, time: Tensor, frames: int, context: Context) -> tuple[Tensor, list[Tensor]]:
        """Returns the output and the skip connections for the up blocks, in order."""
        skips: list[Tensor] = []
        for n, resnet in enumerate(self.resnets):
            x = resnet(x, time, frames)
            if self.attentions:
                x = apply_transformer(self.attentions[n], x, frames, context)
            skips.append(x)
        for module in self.downsamplers:
            x = module(x)
            skips.append(x)
        return x, skips


class MidBlock(nn.Module):
    """Residual block, transformer, residual block."""

    def __init__(self, channels: int, time: int, heads: int, context_dim: int) -> None:
        super().__init__()
        self.attentions = _transformers(1, channels, heads, context_dim)
        self.resnets = nn.ModuleList(SpatioTemporalResBlock(channels, channels, time, COARSE_EPS) for _ in range(2))

    def forward(self, x: Tensor, time: Tensor, frames: int, context: Context) -> Tensor:
        x = self.resnets[0](x, time, frames)
        x = apply_transformer(self.attentions[0], x, frames, context)
        out: Tensor = self.resnets[1](x, time, frames)
        return out


class UpBlock(nn.Module):
    """Like a down block, with a skip connection joined to the input of every residual block; then twice the size."""

    def __init__(
        self,
        channels: Sequence[int],
        out: int,
        time: int,
        heads: int,
        context_dim: int,
        *,
        has_attention: bool,
        upsample: bool,
    ) -> None:
        """channels: input width of each residual block, the skip connection's included."""
        super().__init__()
        self.attentions = _transformers(len(channels) if has_attention else 0, out, heads, context_dim)
        self.resnets = nn.ModuleList(SpatioTemporalResBlock(c, out, time, FINE_EPS) for c in channels)
        self.upsamplers = nn.ModuleList([Upsample(out)] if upsample else [])

    def forward(self, x: Tensor, skips: list[Tensor], time: Tensor, frames: int, context: Context) -> Tensor:
        """Removes its skip connections from the end of ``skips``."""
        for n, resnet in enumerate(self.resnets):
            x = resnet(torch.cat([x, skips.pop()], dim=1), time, frames)
            if self.attentions:
                x = apply_transformer(self.attentions[n], x, frames, context)
        for module in self.upsamplers:
            x = module(x)
        return x
