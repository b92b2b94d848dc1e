"""Embeddings of scalars: diffusion time, time ids, frame positions."""

import math

import torch
from torch import Tensor, nn


def sinusoid(values: Tensor, width: int) -> Tensor:
    """Sinusoidal embedding (Vaswani et al. 2017, section 3.5): cosines, then sines, of decreasing frequency.

    values: any float [n]; returns float32 [n, width], computed in float32 whatever the network's dtype is.
    """
    half = width // 2
    exponent = -math.log(10000) / half * torch.arange(half, dtype=torch.float32, device=values.device)
    angle = values.float()[:, None] * torch.exp(exponent)
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


class Embedding(nn.Module):
    """Linear, SiLU, Linear: [n, width] -> [n, out]."""

    def __init__(self, width: int, hidden: int, out: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(width, hidden)
        self.linear_2 = nn.Linear(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear_2(nn.functional.silu(self.linear_1(x)))
        return out
