"""The complete UNet."""

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from stages.infer.sonic.config import UNetConfig
from stages.infer.sonic.nets.unet.attention import CrossAttention
from stages.infer.sonic.nets.unet.blocks import COARSE_EPS, DownBlock, MidBlock, UpBlock
from stages.infer.sonic.nets.unet.context import Context
from stages.infer.sonic.nets.unet.embeddings import Embedding, sinusoid
from stages.infer.sonic.nets.unet.optimization import OptimizationFlags
from stages.infer.sonic.nets.unet.resnet import GROUPS, SpatioTemporalResBlock
from stages.infer.sonic.nets.unet.transformer import SpatioTemporalTransformer

MAX_COMPILATIONS = 512
"""About 20 shapes of blocks for each picture size."""


class SonicUNet(nn.Module):
    """Predicts v for latents [B, F, 4, h, w], given the portrait's latents in extra channels."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        channels, levels = config.channels, len(config.channels)
        time = 4 * channels[0]
        self.conv_in = nn.Conv2d(config.in_channels, channels[0], 3, padding=1)
        self.time_embedding = Embedding(channels[0], time, time)
        self.add_embedding = Embedding(3 * config.time_id_dim, time, time)
        self.down_blocks = nn.ModuleList(
            DownBlock(
                channels[max(n - 1, 0)],
                channels[n],
                time,
                config.layers,
                config.heads[n],
                config.context_dim,
                has_attention=config.has_attention[n],
                downsample=n < levels - 1,
            )
            for n in range(levels)
        )
        self.mid_block = MidBlock(channels[-1], time, config.heads[-1], config.context_dim)
        self.up_blocks = nn.ModuleList(
            UpBlock(
                self._up_widths(n),
                channels[n],
                time,
                config.heads[n],
                config.context_dim,
                has_attention=config.has_attention[n],
                upsample=n > 0,
            )
            for n in reversed(range(levels))
        )
        self.conv_norm_out = nn.GroupNorm(GROUPS, channels[0], COARSE_EPS)
        self.conv_out = nn.Conv2d(channels[0], config.out_channels, 3, padding=1)

    def _up_widths(self, level: int) -> list[int]:
        """Input widths of an up block's residual blocks: from below or the block before, plus the skip connection."""
        channels, layers = self.config.channels, self.config.layers
        below = channels[min(level + 1, len(channels) - 1)]
        before = channels[max(level - 1, 0)]
        skips = [channels[level]] * layers + [before]
        return [(below if n == 0 else channels[level]) + width for n, width in enumerate(skips)]

    def forward(self, sample: Tensor, time: Tensor, context: Context, time_ids: Tensor) -> Tensor:
        """Predict v [B, F, 4, h, w].

        sample [B, F, 8, h, w]: scaled noisy latents and portrait latents; time: float scalar, ``0.25 ln sigma``;
        time_ids [B, 3]: frames a second and two motion buckets.
        """
        items, frames = sample.shape[:2]
        emb = silu(self._embedded(time, time_ids, items, sample.dtype))
        x = self.conv_in(sample.flatten(0, 1).contiguous(memory_format=self._memory_format))
        skips = [x]
        for down in self.down_blocks:
            x, block_skips = down(x, emb, frames, context)
            skips.extend(block_skips)
        x = self.mid_block(x, emb, frames, context)
        for up in self.up_blocks:
            x = up(x, skips, emb, frames, context)
        x = self.conv_out(silu(self.conv_norm_out(x)))
        return torch.unflatten(x, 0, (items, frames))

    def _embedded(self, time: Tensor, time_ids: Tensor, items: int, dtype: torch.dtype) -> Tensor:
        """[B, 4 * C]: embeddings of time and ids, summed. Ids are rounded to the network's dtype, as published."""
        moment = sinusoid(time.reshape(1), self.config.channels[0]).to(dtype)
        ids = sinusoid(time_ids.to(dtype).flatten(), self.config.time_id_dim).to(dtype)
        out: Tensor = self.time_embedding(moment) + self.add_embedding(ids.reshape(items, -1))
        return out

    @property
    def cross_attentions(self) -> list[CrossAttention]:
        """All layers that attend to image and audio tokens."""
        return [module for module in self.modules() if isinstance(module, CrossAttention)]

    _memory_format = torch.contiguous_format

    def apply_optimization(self, flags: OptimizationFlags) -> None:
        """Turn optimizations on and off; results stay the same up to rounding."""
        torch.compiler.reset()
        for module in self.modules():
            if isinstance(module, SpatioTemporalResBlock | SpatioTemporalTransformer):
                module.apply_optimization(flags)
                if flags.compiled:
                    module.compile(dynamic=False)
                else:
                    module._compiled_call_impl = None
        if flags.compiled:
            # Blocks of equal shapes share a compilation; there are more shapes than the default limit.
            torch._dynamo.config.recompile_limit = MAX_COMPILATIONS
            torch._dynamo.config.accumulated_recompile_limit = MAX_COMPILATIONS
        self._memory_format = torch.channels_last if flags.channels_last else torch.contiguous_format
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.to(memory_format=self._memory_format)
