"""The whole UNet."""

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from stages.infer.sonic.nets.unet.attention import CrossAttention
from stages.infer.sonic.nets.unet.blocks import COARSE_EPS, DownBlock, MidBlock, UpBlock
from stages.infer.sonic.nets.unet.context import Context
from stages.infer.sonic.nets.unet.embeddings import Embedding, sinusoid
from stages.infer.sonic.nets.unet.resnet import GROUPS, SpatioTemporalResBlock
from stages.infer.sonic.nets.unet.switches import Switches
from stages.infer.sonic.nets.unet.transformer import SpatioTemporalTransformer
from stages.infer.sonic.sizes import UNetSizes

COMPILATIONS = 512
"""About 20 shapes of blocks for each size of picture."""


class SonicUNet(nn.Module):
    """v-prediction for latents [B, F, 4, h, w] that carry the portrait's latents beside them."""

    def __init__(self, sizes: UNetSizes) -> None:
        super().__init__()
        self.sizes = sizes
        channels, levels = sizes.channels, len(sizes.channels)
        time = 4 * channels[0]
        self.conv_in = nn.Conv2d(sizes.in_channels, channels[0], 3, padding=1)
        self.time_embedding = Embedding(channels[0], time, time)
        self.add_embedding = Embedding(3 * sizes.time_id_dim, time, time)
        self.down_blocks = nn.ModuleList(
            DownBlock(
                channels[max(n - 1, 0)],
                channels[n],
                time,
                sizes.layers,
                sizes.heads[n],
                sizes.context,
                attends=sizes.attends[n],
                halves=n < levels - 1,
            )
            for n in range(levels)
        )
        self.mid_block = MidBlock(channels[-1], time, sizes.heads[-1], sizes.context)
        self.up_blocks = nn.ModuleList(
            UpBlock(
                self._up_widths(n),
                channels[n],
                time,
                sizes.heads[n],
                sizes.context,
                attends=sizes.attends[n],
                doubles=n > 0,
            )
            for n in reversed(range(levels))
        )
        self.conv_norm_out = nn.GroupNorm(GROUPS, channels[0], COARSE_EPS)
        self.conv_out = nn.Conv2d(channels[0], sizes.out_channels, 3, padding=1)

    def _up_widths(self, level: int) -> list[int]:
        """Input widths on the way up: from below or the block before, plus what the way down kept, last first."""
        channels, layers = self.sizes.channels, self.sizes.layers
        below = channels[min(level + 1, len(channels) - 1)]
        before = channels[max(level - 1, 0)]
        kept = [channels[level]] * layers + [before]
        return [(below if n == 0 else channels[level]) + width for n, width in enumerate(kept)]

    def forward(self, sample: Tensor, time: Tensor, context: Context, time_ids: Tensor) -> Tensor:
        """One call.

        sample [B, F, 8, h, w]: scaled noisy latents and portrait latents; time: float scalar, ``0.25 ln sigma``;
        time_ids [B, 3]: frames a second and two motion figures. Returns v [B, F, 4, h, w].
        """
        items, frames = sample.shape[:2]
        emb = silu(self._embedded(time, time_ids, items, sample.dtype))
        x = self.conv_in(sample.flatten(0, 1).contiguous(memory_format=self._memory_format))
        kept = [x]
        for down in self.down_blocks:
            x, more = down(x, emb, frames, context)
            kept.extend(more)
        x = self.mid_block(x, emb, frames, context)
        for up in self.up_blocks:
            x = up(x, kept, emb, frames, context)
        x = self.conv_out(silu(self.conv_norm_out(x)))
        return torch.unflatten(x, 0, (items, frames))

    def _embedded(self, time: Tensor, time_ids: Tensor, items: int, dtype: torch.dtype) -> Tensor:
        """[B, 4 * C]: time and ids, the ids rounded to the network's type first, as published."""
        moment = sinusoid(time.reshape(1), self.sizes.channels[0]).to(dtype)
        ids = sinusoid(time_ids.to(dtype).flatten(), self.sizes.time_id_dim).to(dtype)
        out: Tensor = self.time_embedding(moment) + self.add_embedding(ids.reshape(items, -1))
        return out

    @property
    def cross_attentions(self) -> list[CrossAttention]:
        """All layers that attend image and audio tokens."""
        return [module for module in self.modules() if isinstance(module, CrossAttention)]

    _memory_format = torch.contiguous_format

    def apply_switches(self, switches: Switches) -> None:
        """Take the ways to compute; results stay the same up to rounding."""
        torch.compiler.reset()
        for module in self.modules():
            if isinstance(module, SpatioTemporalResBlock | SpatioTemporalTransformer):
                module.apply_switches(switches)
                if switches.compiled:
                    module.compile(dynamic=False)
                else:
                    module._compiled_call_impl = None
        if switches.compiled:
            # Blocks of equal shapes share a compilation, but there are more shapes than the default allows.
            torch._dynamo.config.recompile_limit = COMPILATIONS
            torch._dynamo.config.accumulated_recompile_limit = COMPILATIONS
        self._memory_format = torch.channels_last if switches.channels_last else torch.contiguous_format
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.to(memory_format=self._memory_format)
