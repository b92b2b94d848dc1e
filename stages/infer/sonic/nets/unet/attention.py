"""Self-attention, and cross-attention to one image token and the audio tokens (Sonic, section 3.2).

The audio has keys and values of its own beside the image's (Ye et al. 2023, IP-Adapter, equation 5) and only moves the
face: in spatial layers its part is weighted with the face mask.
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
        """x [N, L, C], every row by itself."""
        q, k, v = (_heads(layer(x), self.heads).transpose(1, 2) for layer in self._projections())
        return self._out(attend(q, k, v, self.fused).transpose(1, 2).flatten(2))

    def over_frames(self, x: Tensor) -> Tensor:
        """x [B, F, hw, C]: every pixel attends its own frames."""
        # [B * hw, heads, F, d]: one axis for all rows, as the fused kernels want; a view where B is 1.
        q, k, v = (_heads(layer(x), self.heads).permute(0, 2, 3, 1, 4).flatten(0, 1) for layer in self._projections())
        y = torch.unflatten(attend(q, k, v, self.fused), 0, (len(x), -1))
        return self._out(y.permute(0, 3, 1, 2, 4).flatten(3))

    def _projections(self) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
        return self.to_q, self.to_k, self.to_v

    def _out(self, x: Tensor) -> Tensor:
        out: Tensor = self.to_out[0](x)
        return out


@dataclass(frozen=True, slots=True)
class Projected:
    """What a layer's queries attend, one row per row of queries.

    image [N, 1, C]: value of the image token; image_key [N, 1, C]: its key, None where the single key is not looked at;
    keys, values [N, n, C]: of the audio tokens.
    """

    image: Tensor
    image_key: Tensor | None
    keys: Tensor
    values: Tensor


class AudioAdapter(nn.Module):
    """Keys and values of the audio tokens."""

    def __init__(self, context: int, channels: int) -> None:
        super().__init__()
        self.to_k_ip = nn.ModuleList([nn.Linear(context, channels, bias=False)])
        self.to_v_ip = nn.ModuleList([nn.Linear(context, channels, bias=False)])


class CrossAttention(nn.Module):
    """One query, two attentions: ``to_out(attend(q, image) + scale * mask * attend(q, audio))``."""

    def __init__(self, channels: int, heads: int, context: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context, channels, bias=False)
        self.to_v = nn.Linear(context, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        self.processor = AudioAdapter(context, channels)
        self.fused = True
        self.one_key = True

    def image(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """Value and, if it is wanted, key of image tokens [..., context]."""
        return self.to_v(tokens), None if self.one_key else self.to_k(tokens)

    def audio(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of audio tokens [..., context]."""
        return self.processor.to_k_ip[0](tokens), self.processor.to_v_ip[0](tokens)

    def forward(self, x: Tensor, to: Projected, mask: Tensor | None, scale: float) -> Tensor:
        """x [N, L, C]; mask [L, 1] or None for 1; scale 0 leaves the audio out."""
        q = self._split(self.to_q(x))
        if to.image_key is None:
            y = to.image
        else:
            y = self._join(attend(q, self._split(to.image_key), self._split(to.image), self.fused))
        if scale != 0:
            heard = self._join(attend(q, self._split(to.keys), self._split(to.values), self.fused))
            if scale != 1:
                heard *= scale
            if mask is not None:
                heard *= mask
            y = heard + y
        out: Tensor = self.to_out[0](y.expand(x.shape) if y.shape[1] == 1 else y)
        return out

    def _split(self, x: Tensor) -> Tensor:
        return _heads(x, self.heads).transpose(1, 2)

    def _join(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)
