"""CLIP's image encoder with projection (Radford et al. 2021): a pre-norm ViT (Dosovitskiy et al. 2020), ViT-H/14."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.infer.sonic.nets.self_attention import SelfAttention
from stages.infer.sonic.sizes import ClipSizes


class Mlp(nn.Module):
    """Two linear layers with the exact GELU between them."""

    def __init__(self, sizes: ClipSizes) -> None:
        super().__init__()
        self.fc1 = nn.Linear(sizes.hidden, sizes.mlp)
        self.fc2 = nn.Linear(sizes.mlp, sizes.hidden)

    def forward(self, x: Tensor) -> Tensor:
        """[n, tokens, hidden] -> the same shape."""
        out: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return out


class ClipLayer(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``."""

    def __init__(self, sizes: ClipSizes) -> None:
        super().__init__()
        self.self_attn = SelfAttention(sizes.hidden, sizes.heads, key_bias=True)
        self.layer_norm1 = nn.LayerNorm(sizes.hidden, sizes.eps)
        self.mlp = Mlp(sizes)
        self.layer_norm2 = nn.LayerNorm(sizes.hidden, sizes.eps)

    def forward(self, x: Tensor) -> Tensor:
        """[n, tokens, hidden] -> the same shape."""
        x = x + self.self_attn(self.layer_norm1(x))
        out: Tensor = x + self.mlp(self.layer_norm2(x))
        return out


class Embeddings(nn.Module):
    """A class token and one token a patch, with learned positions."""

    def __init__(self, sizes: ClipSizes) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.zeros(sizes.hidden))
        self.patch_embedding = nn.Conv2d(3, sizes.hidden, sizes.patch, stride=sizes.patch, bias=False)
        self.position_embedding = nn.Embedding((sizes.image // sizes.patch) ** 2 + 1, sizes.hidden)

    def forward(self, pixels: Tensor) -> Tensor:
        """[n, 3, image, image] -> [n, 1 + patches, hidden]."""
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_embedding.expand(len(patches), 1, -1), patches], 1)
        out: Tensor = tokens + self.position_embedding.weight
        return out


class Encoder(nn.Module):
    """The stack of layers."""

    def __init__(self, sizes: ClipSizes) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ClipLayer(sizes) for _ in range(sizes.layers))

    def forward(self, x: Tensor) -> Tensor:
        """[n, tokens, hidden] -> the same shape."""
        for layer in self.layers:
            x = layer(x)
        return x


class VisionModel(nn.Module):
    """The ViT up to the class token's normed state."""

    def __init__(self, sizes: ClipSizes) -> None:
        super().__init__()
        self.embeddings = Embeddings(sizes)
        # Misspelt in every published file.
        self.pre_layrnorm = nn.LayerNorm(sizes.hidden, sizes.eps)
        self.encoder = Encoder(sizes)
        self.post_layernorm = nn.LayerNorm(sizes.hidden, sizes.eps)

    def forward(self, pixels: Tensor) -> Tensor:
        """[n, 3, image, image] -> [n, hidden]."""
        x = self.encoder(self.pre_layrnorm(self.embeddings(pixels)))
        out: Tensor = self.post_layernorm(x[:, 0])
        return out


class ClipVision(nn.Module):
    """The image encoder: 632 M parameters at the official sizes."""

    def __init__(self, sizes: ClipSizes) -> None:
        super().__init__()
        self.vision_model = VisionModel(sizes)
        self.visual_projection = nn.Linear(sizes.hidden, sizes.projection, bias=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """The picture's embedding, not normalised.

        :param pixels: [n, 3, image, image], officially 224, normalised with CLIP's mean and deviation.
        :returns: [n, projection], officially [n, 1024], in the parameters' dtype.
        """
        out: Tensor = self.visual_projection(self.vision_model(pixels.to(self.visual_projection.weight.dtype)))
        return out
