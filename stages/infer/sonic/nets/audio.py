"""The two small networks on speech states, of the Sonic paper's context-enhanced audio learning and motion-decoupled
controller: audio tokens and motion buckets."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.infer.sonic.sizes import BucketSizes, TokenSizes


class AudioToToken(nn.Module):
    """audio2token: the speech states around a frame become the tokens that the UNet's audio attention reads.

    Three linear layers with ReLU, then LayerNorm over each token. Official sizes: 54.3 M parameters.
    """

    def __init__(self, sizes: TokenSizes) -> None:
        super().__init__()
        self.tokens = sizes.tokens
        self.proj1 = nn.Linear(sizes.seq_len * sizes.blocks * sizes.channels, sizes.hidden)
        self.proj2 = nn.Linear(sizes.hidden, sizes.hidden)
        self.proj3 = nn.Linear(sizes.hidden, sizes.tokens * sizes.output)
        self.norm = nn.LayerNorm(sizes.output)

    def forward(self, windows: Tensor) -> Tensor:
        """Tokens of each frame, of zeros: the constant, non-zero tokens of silence that guidance calls unconditional.

        :param windows: [n, seq_len, blocks, channels], officially [n, 10, 5, 384].
        :returns: [n, tokens, output], officially [n, 32, 1024], in the parameters' dtype.
        """
        x = windows.to(self.proj1.weight.dtype).flatten(1)
        x = functional.relu(self.proj1(x))
        x = functional.relu(self.proj2(x))
        tokens: Tensor = self.norm(self.proj3(x).unflatten(1, (self.tokens, -1)))
        return tokens


class AudioToBucket(nn.Module):
    """audio2bucket: about a second of speech and the picture's embedding become two motion figures a frame.

    Three linear layers with SiLU, no norm. ``16 + 16 * out`` are the two buckets.
    """

    def __init__(self, sizes: BucketSizes) -> None:
        super().__init__()
        self.proj1 = nn.Linear(sizes.seq_len * sizes.blocks * sizes.channels + sizes.clip, sizes.hidden)
        self.proj2 = nn.Linear(sizes.hidden, sizes.hidden)
        self.proj3 = nn.Linear(sizes.hidden, sizes.tokens * sizes.output)

    def forward(self, windows: Tensor, embed: Tensor) -> Tensor:
        """Motion figures before the affine map.

        :param windows: [n, seq_len, blocks, channels], officially [n, 50, 1, 384].
        :param embed: the picture's embedding, [1, clip] for all frames or [n, clip]; officially clip = 1024.
        :returns: [n, tokens * output], officially [n, 2], about -1..1, in the parameters' dtype.
        """
        dtype = self.proj1.weight.dtype
        x = windows.to(dtype).flatten(1)
        x = torch.cat([x, embed.to(dtype).expand(len(x), -1)], 1)
        x = functional.silu(self.proj1(x))
        x = functional.silu(self.proj2(x))
        out: Tensor = self.proj3(x)
        return out
