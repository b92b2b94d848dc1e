"""Sizes of the model's networks, read from the configuration files beside the weights; free of torch.

Names and meanings are those of the official files; a reduced model of the same shape is described by the same fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

Config = Mapping[str, Any]


class SizesInvalid(ValueError):
    """A configuration that does not describe a network of this kind; says which field."""


@dataclass(frozen=True, slots=True)
class UNetSizes:
    """The spatio-temporal UNet: SVD-XT's topology, one entry a level in each tuple, from the finest down."""

    in_channels: int = 8
    out_channels: int = 4
    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    heads: tuple[int, ...] = (5, 10, 20, 20)
    attends: tuple[bool, ...] = (True, True, True, False)
    """Whether a level has transformers."""
    layers: int = 2
    context: int = 1024
    """Width of image and audio tokens."""
    time_id_dim: int = 256
    """Width of each time id's sinusoid."""
    frames: int = 25
    """Frames of a window."""

    @classmethod
    def of(cls, config: Config) -> Self:
        """From ``unet/config.json``. Raises SizesInvalid."""
        channels = tuple(_get(config, "block_out_channels"))
        heads = _get(config, "num_attention_heads")
        down, up = _get(config, "down_block_types"), _get(config, "up_block_types")
        attends = tuple("CrossAttn" in name for name in down)
        if tuple("CrossAttn" in name for name in up) != attends[::-1]:
            raise SizesInvalid("up_block_types: not the mirror image of down_block_types")
        if len(attends) != len(channels):
            raise SizesInvalid("down_block_types: not one for each of block_out_channels")
        if config.get("transformer_layers_per_block", 1) != 1:
            raise SizesInvalid("transformer_layers_per_block: only 1 is known")
        time_id_dim = _get(config, "addition_time_embed_dim")
        if _get(config, "projection_class_embeddings_input_dim") != 3 * time_id_dim:
            raise SizesInvalid("projection_class_embeddings_input_dim: three time ids, so 3 * addition_time_embed_dim")
        heads = tuple(heads) if isinstance(heads, list | tuple) else (heads,) * len(channels)
        if any(c % 32 or c % h for c, h in zip(channels, heads, strict=True)):
            raise SizesInvalid("block_out_channels: each a multiple of 32 and of its number of heads")
        return cls(
            in_channels=_get(config, "in_channels"),
            out_channels=_get(config, "out_channels"),
            channels=channels,
            heads=heads,
            attends=attends,
            layers=_get(config, "layers_per_block"),
            context=_get(config, "cross_attention_dim"),
            time_id_dim=time_id_dim,
            frames=_get(config, "num_frames"),
        )


@dataclass(frozen=True, slots=True)
class VaeSizes:
    """SVD's autoencoder: a plain KL encoder and a decoder with temporal layers."""

    channels: tuple[int, ...] = (128, 256, 512, 512)
    layers: int = 2
    latent_channels: int = 4
    scaling: float = 0.18215
    """Latents of the diffusion are the posterior's times this."""

    @classmethod
    def of(cls, config: Config) -> Self:
        """From ``vae/config.json``. Raises SizesInvalid."""
        return cls(
            channels=tuple(_get(config, "block_out_channels")),
            layers=_get(config, "layers_per_block"),
            latent_channels=_get(config, "latent_channels"),
            scaling=_get(config, "scaling_factor"),
        )


@dataclass(frozen=True, slots=True)
class ClipSizes:
    """The image encoder: a ViT with a projection (official: ViT-H/14)."""

    hidden: int = 1280
    mlp: int = 5120
    layers: int = 32
    heads: int = 16
    image: int = 224
    patch: int = 14
    projection: int = 1024
    eps: float = 1e-5

    @classmethod
    def of(cls, config: Config) -> Self:
        """From ``image_encoder/config.json``. Raises SizesInvalid."""
        if config.get("hidden_act", "gelu") != "gelu":
            raise SizesInvalid("hidden_act: only gelu is known")
        return cls(
            hidden=_get(config, "hidden_size"),
            mlp=_get(config, "intermediate_size"),
            layers=_get(config, "num_hidden_layers"),
            heads=_get(config, "num_attention_heads"),
            image=_get(config, "image_size"),
            patch=_get(config, "patch_size"),
            projection=_get(config, "projection_dim"),
            eps=config.get("layer_norm_eps", 1e-5),
        )


@dataclass(frozen=True, slots=True)
class WhisperSizes:
    """The speech encoder (official: Whisper-tiny); the decoder is not used."""

    width: int = 384
    layers: int = 4
    heads: int = 6
    mlp: int = 1536
    bands: int = 80
    positions: int = 1500

    @classmethod
    def of(cls, config: Config) -> Self:
        """From ``whisper-tiny/config.json``. Raises SizesInvalid."""
        return cls(
            width=_get(config, "d_model"),
            layers=_get(config, "encoder_layers"),
            heads=_get(config, "encoder_attention_heads"),
            mlp=_get(config, "encoder_ffn_dim"),
            bands=_get(config, "num_mel_bins"),
            positions=_get(config, "max_source_positions"),
        )


@dataclass(frozen=True, slots=True)
class TokenSizes:
    """audio2token: a window of speech states becomes audio tokens."""

    seq_len: int = 10
    blocks: int = 5
    channels: int = 384
    hidden: int = 1024
    output: int = 1024
    tokens: int = 32


@dataclass(frozen=True, slots=True)
class BucketSizes:
    """audio2bucket: a second of speech and the picture become two motion figures."""

    seq_len: int = 50
    blocks: int = 1
    channels: int = 384
    clip: int = 1024
    hidden: int = 1024
    output: int = 1
    tokens: int = 2


@dataclass(frozen=True, slots=True)
class SonicSizes:
    """All of them. The defaults are the official model."""

    unet: UNetSizes = UNetSizes()
    vae: VaeSizes = VaeSizes()
    clip: ClipSizes = ClipSizes()
    whisper: WhisperSizes = WhisperSizes()
    token: TokenSizes = TokenSizes()
    bucket: BucketSizes = BucketSizes()


def _get(config: Config, name: str) -> Any:
    if name not in config:
        raise SizesInvalid(f"{name}: missing")
    return config[name]
