"""Attention over the pixels of each frame, then over the frames of each pixel, and their blend."""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from stages.infer.sonic.nets.unet.attention import CrossAttention, ProjectedContext, SelfAttention
from stages.infer.sonic.nets.unet.embeddings import Embedding, sinusoid
from stages.infer.sonic.nets.unet.optimization import OptimizationFlags
from stages.infer.sonic.nets.unet.resnet import GROUPS, Mixer

MLP_RATIO = 4
"""Hidden width of a feed-forward network, in widths of its input."""


class GatedLinear(nn.Module):
    """GEGLU (Shazeer 2020): one half times the GELU of the other."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, 2 * hidden)

    def forward(self, x: Tensor) -> Tensor:
        value: Tensor
        value, gate = self.proj(x).chunk(2, dim=-1)
        value *= gelu(gate)
        return value


class FeedForward(nn.Module):
    """GEGLU, then back to the width."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # The middle entry stands for a dropout, which the key names count.
        self.net = nn.ModuleList(
            [GatedLinear(channels, MLP_RATIO * channels), nn.Identity(), nn.Linear(MLP_RATIO * channels, channels)]
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net[2](self.net[0](x))
        return out


class SpatialBlock(nn.Module):
    """Self-attention, cross-attention, feed-forward; rows are frames."""

    def __init__(self, channels: int, heads: int, context_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = SelfAttention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.attn2 = CrossAttention(channels, heads, context_dim)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)

    def forward(self, x: Tensor, context: ProjectedContext, mask: Tensor | None, scale: float) -> Tensor:
        """x [B * F, hw, C], modified in place; mask [hw, 1]."""
        x += self.attn1(self.norm1(x))
        x += self.attn2(self.norm2(x), context, mask, scale)
        x += self.ff(self.norm3(x))
        return x


class TemporalBlock(nn.Module):
    """The same over frames, with a feed-forward before.

    All but self-attention works on single tokens, so tokens stay in the order of the spatial block and only queries,
    keys and values are transposed. The cross-attention's tokens are the same for all pixels of an item.
    """

    def __init__(self, channels: int, heads: int, context_dim: int) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(channels)
        self.ff_in = FeedForward(channels)
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = SelfAttention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.attn2 = CrossAttention(channels, heads, context_dim)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)

    def forward(self, x: Tensor, context: ProjectedContext, scale: float) -> Tensor:
        """x [B, F, hw, C], modified in place; ``context`` has one row per item, or per item and pixel."""
        x += self.ff_in(self.norm_in(x))
        x += self.attn1.over_frames(self.norm1(x))
        x += self._cross_attention(self.norm2(x), context, scale)
        x += self.ff(self.norm3(x))
        return x

    def _cross_attention(self, x: Tensor, context: ProjectedContext, scale: float) -> Tensor:
        items, frames, pixels, _ = x.shape
        if context.keys.shape[0] == items:
            out: Tensor = self.attn2(x.flatten(1, 2), context, None, scale)
            return torch.unflatten(out, 1, (frames, pixels))
        out = self.attn2(x.transpose(1, 2).flatten(0, 1), context, None, scale)
        return torch.unflatten(out, 0, (items, pixels)).transpose(1, 2)


class SpatioTemporalTransformer(nn.Module):
    """Norm, into tokens, spatial block, temporal block with frame positions, blend, back, plus the input."""

    def __init__(self, channels: int, heads: int, context_dim: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([SpatialBlock(channels, heads, context_dim)])
        self.temporal_transformer_blocks = nn.ModuleList([TemporalBlock(channels, heads, context_dim)])
        self.time_pos_embed = Embedding(channels, MLP_RATIO * channels, channels)
        self.time_mixer = Mixer()
        self.proj_out = nn.Linear(channels, channels)

    @property
    def spatial(self) -> SpatialBlock:
        """The block over pixels."""
        block = self.transformer_blocks[0]
        assert isinstance(block, SpatialBlock)
        return block

    @property
    def temporal(self) -> TemporalBlock:
        """The block over frames."""
        block = self.temporal_transformer_blocks[0]
        assert isinstance(block, TemporalBlock)
        return block

    def forward(
        self,
        x: Tensor,
        frames: int,
        spatial: ProjectedContext,
        temporal: ProjectedContext,
        mask: Tensor | None,
        scale: float,
    ) -> Tensor:
        """x [B * F, C, h, w] -> the same shape; frame positions count from the window's first frame."""
        height, width = x.shape[-2:]
        tokens = self.proj_in(self.norm(x).permute(0, 2, 3, 1).flatten(1, 2))
        tokens = self.transformer_blocks[0](tokens, spatial, mask, scale)
        positions = sinusoid(torch.arange(frames, device=x.device), x.shape[1]).to(x.dtype)
        by_item = torch.unflatten(tokens, 0, (-1, frames))
        moved = by_item + self.time_pos_embed(positions)[:, None]
        moved = self.temporal_transformer_blocks[0](moved, temporal, scale)
        blended = self.proj_out(self.time_mixer(by_item, moved)).flatten(0, 1)
        return torch.unflatten(blended, 1, (height, width)).permute(0, 3, 1, 2) + x

    def apply_optimization(self, flags: OptimizationFlags) -> None:
        """Apply the flags that concern this block."""
        for block in (self.spatial, self.temporal):
            block.attn1.fused = block.attn2.fused = flags.sdpa
            block.attn2.one_key = flags.one_key
