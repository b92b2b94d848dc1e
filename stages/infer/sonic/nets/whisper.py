"""Whisper's speech encoder (Radford et al. 2022, section 2.2): two convolutions and pre-norm transformer layers."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.infer.sonic.config import WhisperConfig
from stages.infer.sonic.nets.self_attention import SelfAttention


class WhisperLayer(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))`` with the exact GELU; keys have no bias."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config.n_state, config.n_head, key_bias=False)
        self.self_attn_layer_norm = nn.LayerNorm(config.n_state)
        self.fc1 = nn.Linear(config.n_state, config.n_mlp)
        self.fc2 = nn.Linear(config.n_mlp, config.n_state)
        self.final_layer_norm = nn.LayerNorm(config.n_state)

    def forward(self, x: Tensor) -> Tensor:
        """[n, n_ctx, n_state] -> the same shape."""
        x = x + self.self_attn(self.self_attn_layer_norm(x))
        out: Tensor = x + self.fc2(functional.gelu(self.fc1(self.final_layer_norm(x))))
        return out


class WhisperEncoder(nn.Module):
    """The encoder. In the file its keys have the prefix ``model.encoder.``; the decoder's are not read."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(config.n_mels, config.n_state, 3, padding=1)
        self.conv2 = nn.Conv1d(config.n_state, config.n_state, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(config.n_ctx, config.n_state)
        self.layers = nn.ModuleList(WhisperLayer(config) for _ in range(config.n_layer))
        self.layer_norm = nn.LayerNorm(config.n_state)

    def forward(self, mel: Tensor) -> Tensor:
        """All hidden states of 30 s of audio at 50 positions a second.

        mel: [n, n_mels, 2 * n_ctx], officially [n, 80, 3000]. Returns [n, n_ctx, n_layer + 1, n_state] in the
        parameters' dtype: the embedding with positions, the output of each layer but the last, the final norm of the
        last layer's output. Raises ValueError when ``mel`` has another length.
        """
        positions = self.embed_positions.weight
        if mel.shape[2] != 2 * len(positions):
            raise ValueError(f"mel: {mel.shape[2]} columns, the encoder takes exactly {2 * len(positions)}")
        x = functional.gelu(self.conv1(mel.to(positions.dtype)))
        x = functional.gelu(self.conv2(x)).transpose(1, 2) + positions
        states = []
        for layer in self.layers:
            states.append(x)
            x = layer(x)
        return torch.stack([*states, self.layer_norm(x)], 2)
