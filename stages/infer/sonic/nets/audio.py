"""The two small networks on audio encoder states: audio tokens (the Sonic paper's context-enhanced audio learning) and
motion buckets (its motion-decoupled controller)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.infer.sonic.config import BucketConfig, TokenConfig


class AudioToToken(nn.Module):
    """audio2token: maps the encoder states around a frame to the audio tokens of the UNet's cross-attention.

    Three linear layers with ReLU, then LayerNorm over each token. Official sizes: 54.3 M parameters.
    """

    def __init__(self, config: TokenConfig) -> None:
        super().__init__()
        self.n_tokens = config.n_tokens
        self.proj1 = nn.Linear(config.seq_len * config.n_blocks * config.channels, config.hidden_dim)
        self.proj2 = nn.Linear(config.hidden_dim, config.hidden_dim)
        self.proj3 = nn.Linear(config.hidden_dim, config.n_tokens * config.output_dim)
        self.norm = nn.LayerNorm(config.output_dim)

    def forward(self, windows: Tensor) -> Tensor:
        """Tokens of each frame: [n, n_tokens, output_dim], officially [n, 32, 1024], in the parameters' dtype.

        windows: [n, seq_len, n_blocks, channels], officially [n, 10, 5, 384]. Zeros give the constant, non-zero tokens
        of silence for unconditional guidance.
        """
        x = windows.to(self.proj1.weight.dtype).flatten(1)
        x = functional.relu(self.proj1(x))
        x = functional.relu(self.proj2(x))
        tokens: Tensor = self.norm(self.proj3(x).unflatten(1, (self.n_tokens, -1)))
        return tokens


class AudioToBucket(nn.Module):
    """audio2bucket: maps a second of encoder states and the image embedding to two motion buckets per frame.

    Three linear layers with SiLU, no norm. ``16 + 16 * out`` are the two buckets.
    """

    def __init__(self, config: BucketConfig) -> None:
        super().__init__()
        self.proj1 = nn.Linear(config.seq_len * config.n_blocks * config.channels + config.clip_dim, config.hidden_dim)
        self.proj2 = nn.Linear(config.hidden_dim, config.hidden_dim)
        self.proj3 = nn.Linear(config.hidden_dim, config.n_tokens * config.output_dim)

    def forward(self, windows: Tensor, embed: Tensor) -> Tensor:
        """Motion buckets before the affine map: [n, n_tokens * output_dim], officially [n, 2], about -1..1.

        windows: [n, seq_len, n_blocks, channels], officially [n, 50, 1, 384]; embed: the image embedding, [1, clip_dim]
        for all frames or [n, clip_dim], officially clip_dim = 1024. The result is in the parameters' dtype.
        """
        dtype = self.proj1.weight.dtype
        x = windows.to(dtype).flatten(1)
        x = torch.cat([x, embed.to(dtype).expand(len(x), -1)], 1)
        x = functional.silu(self.proj1(x))
        x = functional.silu(self.proj2(x))
        out: Tensor = self.proj3(x)
        return out
