"""The levels of the UNet: down, middle and up.

Normalisation adds 1e-6 to the variance in levels with transformers and on the way up, 1e-5 in the others: a habit of
the published weights.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stages.infer.sonic.nets.unet.context import Context
from stages.infer.sonic.nets.unet.resnet import Downsample, SpatioTemporalResBlock, Upsample
from stages.infer.sonic.nets.unet.transformer import SpatioTemporalTransformer

FINE_EPS = 1e-6
COARSE_EPS = 1e-5


def listen(transformer: nn.Module, x: Tensor, frames: int, context: Context) -> Tensor:
    """A transformer with what its two cross-attentions attend."""
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


def _transformers(count: int, channels: int, heads: int, context: int) -> nn.ModuleList:
    return nn.ModuleList(SpatioTemporalTransformer(channels, heads, context) for _ in range(count))


class DownBlock(nn.Module):
    """Residual blocks, each with a transformer after it if the level attends; then half the size, but for the last."""

    def __init__(
        self, channels: int, out: int, time: int, layers: int, heads: int, context: int, *, attends: bool, halves: bool
    ) -> None:
        super().__init__()
        eps = FINE_EPS if attends else COARSE_EPS
        self.attentions = _transformers(layers if attends else 0, out, heads, context)
        self.resnets = nn.ModuleList(
            SpatioTemporalResBlock(channels if n == 0 else out, out, time, eps) for n in range(layers)
        )
        self.downsamplers = nn.ModuleList([Downsample(out)] if halves else [])

    def forward(self, x: Tensor, time: Tensor, frames: int, context: Context) -> tuple[Tensor, list[Tensor]]:
        """Returns the output and what the way up will want, in order."""
        kept: list[Tensor] = []
        for n, resnet in enumerate(self.resnets):
            x = resnet(x, time, frames)
            if self.attentions:
                x = listen(self.attentions[n], x, frames, context)
            kept.append(x)
        for downsample in self.downsamplers:
            x = downsample(x)
            kept.append(x)
        return x, kept


class MidBlock(nn.Module):
    """Residual block, transformer, residual block."""

    def __init__(self, channels: int, time: int, heads: int, context: int) -> None:
        super().__init__()
        self.attentions = _transformers(1, channels, heads, context)
        self.resnets = nn.ModuleList(SpatioTemporalResBlock(channels, channels, time, COARSE_EPS) for _ in range(2))

    def forward(self, x: Tensor, time: Tensor, frames: int, context: Context) -> Tensor:
        x = self.resnets[0](x, time, frames)
        x = listen(self.attentions[0], x, frames, context)
        out: Tensor = self.resnets[1](x, time, frames)
        return out


class UpBlock(nn.Module):
    """As down, with a kept activation joined to the input of every residual block, then twice the size."""

    def __init__(
        self,
        channels: Sequence[int],
        out: int,
        time: int,
        heads: int,
        context: int,
        *,
        attends: bool,
        doubles: bool,
    ) -> None:
        """channels: input width of each residual block, the kept one's included."""
        super().__init__()
        self.attentions = _transformers(len(channels) if attends else 0, out, heads, context)
        self.resnets = nn.ModuleList(SpatioTemporalResBlock(c, out, time, FINE_EPS) for c in channels)
        self.upsamplers = nn.ModuleList([Upsample(out)] if doubles else [])

    def forward(self, x: Tensor, kept: list[Tensor], time: Tensor, frames: int, context: Context) -> Tensor:
        """Takes its part off the end of ``kept``."""
        for n, resnet in enumerate(self.resnets):
            x = resnet(torch.cat([x, kept.pop()], dim=1), time, frames)
            if self.attentions:
                x = listen(self.attentions[n], x, frames, context)
        for upsample in self.upsamplers:
            x = upsample(x)
        return x
