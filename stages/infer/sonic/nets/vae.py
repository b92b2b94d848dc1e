"""SVD's autoencoder: Stable Diffusion's KL encoder (Rombach et al. 2022) and a decoder with temporal layers
(Blattmann et al. 2023), which keeps neighbouring frames consistent."""

from torch import Tensor, nn
from torch.nn import functional

from stages.infer.sonic.config import VaeConfig
from stages.infer.sonic.nets.vae_blocks import (
    EPS,
    GROUPS,
    Downsample,
    MidAttention,
    ResBlock,
    SpatioTemporalResBlock,
    TemporalConv,
    Upsample,
    along_time,
    as_frames,
)


class DownBlock(nn.Module):
    """A level of the encoder: residual blocks, then half the size unless it is the last."""

    def __init__(self, channels_in: int, channels: int, layers: int, last: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(ResBlock(channels if i else channels_in, channels) for i in range(layers))
        self.downsamplers = nn.ModuleList([] if last else [Downsample(channels)])

    def forward(self, x: Tensor) -> Tensor:
        """[n, channels_in, h, w] -> [n, channels, h / 2, w / 2], the last at [., h, w]."""
        for module in (*self.resnets, *self.downsamplers):
            x = module(x)
        return x


class EncoderMid(nn.Module):
    """Residual block, attention, residual block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([MidAttention(channels)])
        self.resnets = nn.ModuleList([ResBlock(channels, channels), ResBlock(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        """[n, channels, h, w] -> the same shape."""
        out: Tensor = self.resnets[1](self.attentions[0](self.resnets[0](x)))
        return out


class Encoder(nn.Module):
    """Maps pixels to the moments of the posterior, before ``quant_conv``."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        channels = config.channels
        self.conv_in = nn.Conv2d(3, channels[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            DownBlock(channels[max(i - 1, 0)], channels[i], config.layers, last=i == len(channels) - 1)
            for i in range(len(channels))
        )
        self.mid_block = EncoderMid(channels[-1])
        self.conv_norm_out = nn.GroupNorm(GROUPS, channels[-1], EPS)
        self.conv_out = nn.Conv2d(channels[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, pixels: Tensor) -> Tensor:
        """[n, 3, H, W] -> [n, 2 * latent_channels, H / 8, W / 8]."""
        x = self.conv_in(pixels)
        for block in self.down_blocks:
            x = block(x)
        x = self.conv_norm_out(self.mid_block(x))
        out: Tensor = self.conv_out(functional.silu(x, inplace=True))
        return out


class DecoderMid(nn.Module):
    """A spatio-temporal residual block, then attention and a second one; with one layer the attention is unused."""

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([MidAttention(channels)])
        self.resnets = nn.ModuleList(SpatioTemporalResBlock(channels, channels) for _ in range(layers))

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """[b * frames, channels, h, w] -> the same shape."""
        x = self.resnets[0](x, frames)
        for attention, resnet in zip(self.attentions, self.resnets[1:2], strict=False):
            x = resnet(attention(x), frames)
        return x


class UpBlock(nn.Module):
    """A level of the decoder: spatio-temporal residual blocks, then twice the size unless it is the last."""

    def __init__(self, channels_in: int, channels: int, layers: int, last: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            SpatioTemporalResBlock(channels if i else channels_in, channels) for i in range(layers)
        )
        self.upsamplers = nn.ModuleList([] if last else [Upsample(channels)])

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """[b * frames, channels_in, h, w] -> [b * frames, channels, 2 h, 2 w], the last at [., h, w]."""
        for resnet in self.resnets:
            x = resnet(x, frames)
        for upsampler in self.upsamplers:
            x = upsampler(x)
        return x


class Decoder(nn.Module):
    """Maps latents to pixels; every layer but the mid attention works over all frames of the call."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        channels = config.channels[::-1]
        self.conv_in = nn.Conv2d(config.latent_channels, channels[0], 3, padding=1)
        self.mid_block = DecoderMid(channels[0], config.layers)
        self.up_blocks = nn.ModuleList(
            UpBlock(channels[max(i - 1, 0)], channels[i], config.layers + 1, last=i == len(channels) - 1)
            for i in range(len(channels))
        )
        self.conv_norm_out = nn.GroupNorm(GROUPS, channels[-1], EPS)
        self.conv_out = nn.Conv2d(channels[-1], 3, 3, padding=1)
        self.time_conv_out = TemporalConv(3)

    def forward(self, latents: Tensor, frames: int) -> Tensor:
        """[b * frames, latent_channels, h, w] -> [b * frames, 3, 8 h, 8 w]."""
        x = self.mid_block(self.conv_in(latents), frames)
        for block in self.up_blocks:
            x = block(x, frames)
        x = self.conv_out(functional.silu(self.conv_norm_out(x), inplace=True))
        return as_frames(self.time_conv_out(along_time(x, frames)), x)


class Vae(nn.Module):
    """Encoder and decoder: 97.7 M parameters at the official sizes."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.scaling_factor = config.scaling_factor
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quant_conv = nn.Conv2d(2 * config.latent_channels, 2 * config.latent_channels, 1)

    def encode(self, pixels: Tensor) -> Tensor:
        """The mean of the posterior, unscaled: [n, latent_channels, H / 8, W / 8] in the parameters' dtype.

        pixels: [n, 3, H, W], -1..1; both sides are multiples of 8 (of 2 to the number of levels less one).
        """
        moments: Tensor = self.quant_conv(self.encoder(pixels.to(self.quant_conv.weight.dtype)))
        return moments.chunk(2, 1)[0]

    def decode(self, latents: Tensor, frames: int) -> Tensor:
        """Decode clips to pixels [b * frames, 3, 8 h, 8 w], about -1..1, in the parameters' dtype.

        All frames of a clip influence each other. latents: [b * frames, latent_channels, h, w], already divided by
        ``scaling_factor``, clip after clip; frames: of each clip.
        """
        pixels: Tensor = self.decoder(latents.to(self.quant_conv.weight.dtype), frames)
        return pixels
