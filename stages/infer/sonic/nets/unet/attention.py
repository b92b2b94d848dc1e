"""Self-attention, and cross-attention to one image token and the audio tokens (Sonic, section 3.2).

Audio has its own keys and values beside the image's (Ye et al. 2023, IP-Adapter, equation 5). In spatial layers its
output is weighted with the face mask, so that it moves only the face.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


def attend(q: Tensor, k: Tensor, v: Tensor, fused: bool) -> Tensor:
    """softmax(q k^T / sqrt(d)) v over the last two axes [..., L, d]."""
    if fused:
        return scaled_dot_product_attention(q, k, v)
    return torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, dim=-1) @ v


def _heads(x: Tensor, heads: int) -> Tensor:
    """[..., heads * d] to [..., heads, d]."""
    return torch.unflatten(x, -1, (heads, -1))


class SelfAttention(nn.Module):
    """Multi-head self-attention; no bias before, one after."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(channels, channels, bias=False)
        self.to_v = nn.Linear(channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        self.fused = True

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each row of x [N, L, C]."""
        q, k, v = (_heads(layer(x), self.heads).transpose(1, 2) for layer in self._projections())
        return self._out(attend(q, k, v, self.fused).transpose(1, 2).flatten(2))

    def over_frames(self, x: Tensor) -> Tensor:
        """Attend over the frames of each pixel of x [B, F, hw, C]."""
        # [B * hw, heads, F, d]: one axis for all rows, as fused kernels require; a view where B is 1.
        q, k, v = (_heads(layer(x), self.heads).permute(0, 2, 3, 1, 4).flatten(0, 1) for layer in self._projections())
        y = torch.unflatten(attend(q, k, v, self.fused), 0, (len(x), -1))
        return self._out(y.permute(0, 3, 1, 2, 4).flatten(3))

    def _projections(self) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
        return self.to_q, self.to_k, self.to_v

    def _out(self, x: Tensor) -> Tensor:
        out: Tensor = self.to_out[0](x)
        return out


@dataclass(frozen=True, slots=True)
class ProjectedContext:
    """Keys and values of a layer's cross-attention, one row per row of queries.

    image [N, 1, C]: value of the image token; image_key [N, 1, C]: its key, None when ``one_key`` is on;
    keys, values [N, n, C]: of the audio tokens.
    """

    image: Tensor
    image_key: Tensor | None
    keys: Tensor
    values: Tensor


class AudioAdapter(nn.Module):
    """Keys and values of the audio tokens."""

    def __init__(self, context_dim: int, channels: int) -> None:
        super().__init__()
        self.to_k_ip = nn.ModuleList([nn.Linear(context_dim, channels, bias=False)])
        self.to_v_ip = nn.ModuleList([nn.Linear(context_dim, channels, bias=False)])


class CrossAttention(nn.Module):
    """One query, two attentions: ``to_out(attend(q, image) + scale * mask * attend(q, audio))``."""

    def __init__(self, channels: int, heads: int, context_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context_dim, channels, bias=False)
        self.to_v = nn.Linear(context_dim, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        self.processor = AudioAdapter(context_dim, channels)
        self.fused = True
        self.one_key = True

    def image(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """Value and, unless ``one_key`` is on, key of image tokens [..., context_dim]."""
        return self.to_v(tokens), None if self.one_key else self.to_k(tokens)

    def audio(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of audio tokens [..., context_dim]."""
        return self.processor.to_k_ip[0](tokens), self.processor.to_v_ip[0](tokens)

    def forward(self, x: Tensor, context: ProjectedContext, mask: Tensor | None, scale: float) -> Tensor:
        """Attend from x [N, L, C]. mask [L, 1], None: 1 everywhere; scale 0 leaves audio out."""
        q = self._split(self.to_q(x))
        if context.image_key is None:
            y = context.image
        else:
            y = self._join(attend(q, self._split(context.image_key), self._split(context.image), self.fused))
        if scale != 0:
            audio = self._join(attend(q, self._split(context.keys), self._split(context.values), self.fused))
            if scale != 1:
                audio *= scale
            if mask is not None:
                audio *= mask
            y = audio + y
        out: Tensor = self.to_out[0](y.expand(x.shape) if y.shape[1] == 1 else y)
        return out

    def _split(self, x: Tensor) -> Tensor:
        return _heads(x, self.heads).transpose(1, 2)

    def _join(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)
