"""CLIP's image encoder with projection (Radford et al. 2021): a pre-norm ViT (Dosovitskiy et al. 2020), ViT-H/14."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.infer.sonic.config import ClipConfig
from stages.infer.sonic.nets.self_attention import SelfAttention


class Mlp(nn.Module):
    """Two linear layers with the exact GELU between them."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.width, config.mlp_dim)
        self.fc2 = nn.Linear(config.mlp_dim, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """[n, tokens, width] -> the same shape."""
        out: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return out


class ClipLayer(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config.width, config.heads, key_bias=True)
        self.layer_norm1 = nn.LayerNorm(config.width, config.eps)
        self.mlp = Mlp(config)
        self.layer_norm2 = nn.LayerNorm(config.width, config.eps)

    def forward(self, x: Tensor) -> Tensor:
        """[n, tokens, width] -> the same shape."""
        x = x + self.self_attn(self.layer_norm1(x))
        out: Tensor = x + self.mlp(self.layer_norm2(x))
        return out


class Embeddings(nn.Module):
    """A class token and one token per patch, with learned positions."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.zeros(config.width))
        self.patch_embedding = nn.Conv2d(3, config.width, config.patch_size, stride=config.patch_size, bias=False)
        self.position_embedding = nn.Embedding((config.image_size // config.patch_size) ** 2 + 1, config.width)

    def forward(self, pixels: Tensor) -> Tensor:
        """[n, 3, image_size, image_size] -> [n, 1 + patches, width]."""
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_embedding.expand(len(patches), 1, -1), patches], 1)
        out: Tensor = tokens + self.position_embedding.weight
        return out


class Encoder(nn.Module):
    """The stack of layers."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ClipLayer(config) for _ in range(config.layers))

    def forward(self, x: Tensor) -> Tensor:
        """[n, tokens, width] -> the same shape."""
        for layer in self.layers:
            x = layer(x)
        return x


class VisionModel(nn.Module):
    """The ViT up to the normalised state of the class token."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        # Misspelt in every published file.
        self.pre_layrnorm = nn.LayerNorm(config.width, config.eps)
        self.encoder = Encoder(config)
        self.post_layernorm = nn.LayerNorm(config.width, config.eps)

    def forward(self, pixels: Tensor) -> Tensor:
        """[n, 3, image_size, image_size] -> [n, width]."""
        x = self.encoder(self.pre_layrnorm(self.embeddings(pixels)))
        out: Tensor = self.post_layernorm(x[:, 0])
        return out


class ClipVision(nn.Module):
    """The image encoder: 632 M parameters at the official sizes."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.vision_model = VisionModel(config)
        self.visual_projection = nn.Linear(config.width, config.projection_dim, bias=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """The image embedding [n, projection_dim], officially [n, 1024], not normalised, in the parameters' dtype.

        pixels: [n, 3, image_size, image_size], officially 224, normalised with CLIP's mean and deviation.
        """
        out: Tensor = self.visual_projection(self.vision_model(pixels.to(self.visual_projection.weight.dtype)))
        return out
