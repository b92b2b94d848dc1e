"""Parts of SVD's autoencoder (Blattmann et al. 2023; Rombach et al. 2022 for the spatial ones).

Norms run in the module's dtype; in half precision the kernels compute mean and variance in float32. Activations and
sums are in place, so these modules are for inference only.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

GROUPS = 32
EPS = 1e-6
TEMPORAL_EPS = 1e-5


class ResBlock(nn.Module):
    """``shortcut(x) + conv2(silu(norm2(conv1(silu(norm1(x))))))``, 3x3; a 1x1 shortcut where the channels change."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, channels_in, EPS)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, channels, EPS)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(channels_in, channels, 1) if channels_in != channels else None

    def forward(self, x: Tensor) -> Tensor:
        """[n, channels_in, h, w] -> [n, channels, h, w]."""
        out: Tensor = self.conv1(functional.silu(self.norm1(x), inplace=True))
        out = self.conv2(functional.silu(self.norm2(out), inplace=True))
        return out.add_(x if self.conv_shortcut is None else self.conv_shortcut(x))


class TemporalConv(nn.Conv3d):
    """A 3x1x1 convolution, zero-padded in time.

    It runs as 3x1 over [frames, pixels], which is the same sum and has faster kernels that keep channels last.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, (3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[b, channels, frames, pixels] -> the same shape."""
        return functional.conv2d(x, self.weight.squeeze(4), self.bias, padding=(1, 0))


class TemporalResBlock(nn.Module):
    """The same over time: groups are normalised over all frames, and there is no 1x1 shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, channels, TEMPORAL_EPS)
        self.conv1 = TemporalConv(channels)
        self.norm2 = nn.GroupNorm(GROUPS, channels, TEMPORAL_EPS)
        self.conv2 = TemporalConv(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[b, channels, frames, pixels] -> the same shape."""
        out: Tensor = self.conv1(functional.silu(self.norm1(x), inplace=True))
        out = self.conv2(functional.silu(self.norm2(out), inplace=True))
        return out.add_(x)


def along_time(x: Tensor, frames: int) -> Tensor:
    """[b * frames, channels, h, w] -> [b, channels, frames, h * w]; of a channels-last tensor a view."""
    return torch.unflatten(x, 0, (-1, frames)).movedim(2, 1).flatten(3)


def as_frames(volume: Tensor, like: Tensor) -> Tensor:
    """[b, channels, frames, h * w] -> [b * frames, channels, h, w], the inverse, with the size of ``like``."""
    return torch.unflatten(volume.movedim(1, 2).flatten(0, 1), 2, like.shape[2:])


class TimeMixer(nn.Module):
    """A learned blend of the spatial and the temporal result."""

    def __init__(self) -> None:
        super().__init__()
        self.mix_factor = nn.Parameter(torch.zeros(1))

    def forward(self, spatial: Tensor, temporal: Tensor) -> Tensor:
        """``(1 - a) * spatial + a * temporal``, ``a = sigmoid(mix_factor)``: in the UNet the two are swapped."""
        return torch.lerp(spatial, temporal, torch.sigmoid(self.mix_factor))


class SpatioTemporalResBlock(nn.Module):
    """A spatial block on each frame, a temporal block on its output, and their blend."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.spatial_res_block = ResBlock(channels_in, channels)
        self.temporal_res_block = TemporalResBlock(channels)
        self.time_mixer = TimeMixer()

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """[b * frames, channels_in, h, w] -> [b * frames, channels, h, w]."""
        spatial = self.spatial_res_block(x)
        volume = along_time(spatial, frames)
        return as_frames(self.time_mixer(volume, self.temporal_res_block(volume)), spatial)


class MidAttention(nn.Module):
    """``x + attention(norm(x))`` over all positions of a frame, with one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(GROUPS, channels, EPS)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        """[n, channels, h, w] -> the same shape."""
        tokens = self.group_norm(x).flatten(2).transpose(1, 2)[:, None]
        attended = functional.scaled_dot_product_attention(self.to_q(tokens), self.to_k(tokens), self.to_v(tokens))
        out: Tensor = self.to_out[0](attended)[:, 0].transpose(1, 2).unflatten(2, x.shape[2:])
        return x + out


class Downsample(nn.Module):
    """Half the size: 3x3, stride 2, zero-padded by one row at the bottom and one column at the right."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """[n, channels, h, w] -> [n, channels, h // 2, w // 2]."""
        out: Tensor = self.conv(functional.pad(x, (0, 1, 0, 1)))
        return out


class Upsample(nn.Module):
    """Twice the size: nearest neighbour, then 3x3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, channels, h, w] -> [n, channels, 2 h, 2 w]."""
        out: Tensor = self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out
