"""Whisper's speech encoder (Radford et al. 2022, section 2.2): two convolutions and pre-norm transformer layers."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.infer.sonic.nets.self_attention import SelfAttention
from stages.infer.sonic.sizes import WhisperSizes


class WhisperLayer(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))`` with the exact GELU; keys have no bias."""

    def __init__(self, sizes: WhisperSizes) -> None:
        super().__init__()
        self.self_attn = SelfAttention(sizes.width, sizes.heads, key_bias=False)
        self.self_attn_layer_norm = nn.LayerNorm(sizes.width)
        self.fc1 = nn.Linear(sizes.width, sizes.mlp)
        self.fc2 = nn.Linear(sizes.mlp, sizes.width)
        self.final_layer_norm = nn.LayerNorm(sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        """[n, positions, width] -> the same shape."""
        x = x + self.self_attn(self.self_attn_layer_norm(x))
        out: Tensor = x + self.fc2(functional.gelu(self.fc1(self.final_layer_norm(x))))
        return out


class WhisperEncoder(nn.Module):
    """The encoder half; in the file its keys carry the prefix ``model.encoder.``, the decoder's stay unread."""

    def __init__(self, sizes: WhisperSizes) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(sizes.bands, sizes.width, 3, padding=1)
        self.conv2 = nn.Conv1d(sizes.width, sizes.width, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(sizes.positions, sizes.width)
        self.layers = nn.ModuleList(WhisperLayer(sizes) for _ in range(sizes.layers))
        self.layer_norm = nn.LayerNorm(sizes.width)

    def forward(self, mel: Tensor) -> Tensor:
        """All hidden states of 30 s of sound at 50 positions a second.

        :param mel: [n, bands, 2 * positions], officially [n, 80, 3000].
        :returns: [n, positions, layers + 1, width]: embedding with positions, the output of each layer but the last,
            the final norm of the last layer's; in the parameters' dtype.
        :raises ValueError: when ``mel`` is not exactly of that length.
        """
        positions = self.embed_positions.weight
        if mel.shape[2] != 2 * len(positions):
            raise ValueError(f"mel: {mel.shape[2]} columns, the encoder hears exactly {2 * len(positions)}")
        x = functional.gelu(self.conv1(mel.to(positions.dtype)))
        x = functional.gelu(self.conv2(x)).transpose(1, 2) + positions
        states = []
        for layer in self.layers:
            states.append(x)
            x = layer(x)
        return torch.stack([*states, self.layer_norm(x)], 2)
