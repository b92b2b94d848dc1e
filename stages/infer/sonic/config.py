"""Configurations of the model's networks, read from the JSON files beside the weights; free of torch.

The defaults are those of the official model. A reduced model of the same architecture has the same fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

Document = Mapping[str, Any]
"""A parsed ``config.json``."""


class ConfigInvalid(ValueError):
    """A document that does not describe a network of this kind; the message names the field."""


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """The spatio-temporal UNet with SVD-XT's topology. Tuples have one entry per level, from the finest down."""

    in_channels: int = 8
    out_channels: int = 4
    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    heads: tuple[int, ...] = (5, 10, 20, 20)
    has_attention: tuple[bool, ...] = (True, True, True, False)
    """Whether a level has transformers."""
    layers: int = 2
    """Residual blocks of a level."""
    context_dim: int = 1024
    """Width of image and audio tokens."""
    time_id_dim: int = 256
    """Width of the sinusoidal embedding of one time id."""
    num_frames: int = 25
    """Frames of a window."""

    @classmethod
    def from_json(cls, document: Document) -> Self:
        """Read ``unet/config.json``. Raises ConfigInvalid."""
        channels = tuple(_get(document, "block_out_channels"))
        heads = _get(document, "num_attention_heads")
        down, up = _get(document, "down_block_types"), _get(document, "up_block_types")
        has_attention = tuple("CrossAttn" in name for name in down)
        if tuple("CrossAttn" in name for name in up) != has_attention[::-1]:
            raise ConfigInvalid("up_block_types: not the mirror image of down_block_types")
        if len(has_attention) != len(channels):
            raise ConfigInvalid("down_block_types: not one for each of block_out_channels")
        if document.get("transformer_layers_per_block", 1) != 1:
            raise ConfigInvalid("transformer_layers_per_block: only 1 is supported")
        time_id_dim = _get(document, "addition_time_embed_dim")
        if _get(document, "projection_class_embeddings_input_dim") != 3 * time_id_dim:
            raise ConfigInvalid("projection_class_embeddings_input_dim: not 3 * addition_time_embed_dim (3 time ids)")
        heads = tuple(heads) if isinstance(heads, list | tuple) else (heads,) * len(channels)
        if any(c % 32 or c % h for c, h in zip(channels, heads, strict=True)):
            raise ConfigInvalid("block_out_channels: not multiples of 32 and of their numbers of heads")
        return cls(
            in_channels=_get(document, "in_channels"),
            out_channels=_get(document, "out_channels"),
            channels=channels,
            heads=heads,
            has_attention=has_attention,
            layers=_get(document, "layers_per_block"),
            context_dim=_get(document, "cross_attention_dim"),
            time_id_dim=time_id_dim,
            num_frames=_get(document, "num_frames"),
        )


@dataclass(frozen=True, slots=True)
class VaeConfig:
    """SVD's autoencoder: a KL encoder and a decoder with temporal layers."""

    channels: tuple[int, ...] = (128, 256, 512, 512)
    layers: int = 2
    latent_channels: int = 4
    scaling_factor: float = 0.18215
    """The diffusion model works on the posterior's mean times this."""

    @classmethod
    def from_json(cls, document: Document) -> Self:
        """Read ``vae/config.json``. Raises ConfigInvalid."""
        return cls(
            channels=tuple(_get(document, "block_out_channels")),
            layers=_get(document, "layers_per_block"),
            latent_channels=_get(document, "latent_channels"),
            scaling_factor=_get(document, "scaling_factor"),
        )


@dataclass(frozen=True, slots=True)
class ClipConfig:
    """The image encoder: a ViT with a projection (official: ViT-H/14)."""

    width: int = 1280
    mlp_dim: int = 5120
    layers: int = 32
    heads: int = 16
    image_size: int = 224
    patch_size: int = 14
    projection_dim: int = 1024
    eps: float = 1e-5

    @classmethod
    def from_json(cls, document: Document) -> Self:
        """Read ``image_encoder/config.json``. Raises ConfigInvalid."""
        if document.get("hidden_act", "gelu") != "gelu":
            raise ConfigInvalid("hidden_act: only gelu is supported")
        return cls(
            width=_get(document, "hidden_size"),
            mlp_dim=_get(document, "intermediate_size"),
            layers=_get(document, "num_hidden_layers"),
            heads=_get(document, "num_attention_heads"),
            image_size=_get(document, "image_size"),
            patch_size=_get(document, "patch_size"),
            projection_dim=_get(document, "projection_dim"),
            eps=document.get("layer_norm_eps", 1e-5),
        )


@dataclass(frozen=True, slots=True)
class WhisperConfig:
    """Whisper's audio encoder (official: tiny); the decoder is not used."""

    n_mels: int = 80
    n_ctx: int = 1500
    """Positions of 30 s of audio."""
    n_state: int = 384
    n_head: int = 6
    n_layer: int = 4
    n_mlp: int = 1536

    @classmethod
    def from_json(cls, document: Document) -> Self:
        """Read ``whisper-tiny/config.json``. Raises ConfigInvalid."""
        return cls(
            n_mels=_get(document, "num_mel_bins"),
            n_ctx=_get(document, "max_source_positions"),
            n_state=_get(document, "d_model"),
            n_head=_get(document, "encoder_attention_heads"),
            n_layer=_get(document, "encoder_layers"),
            n_mlp=_get(document, "encoder_ffn_dim"),
        )


@dataclass(frozen=True, slots=True)
class TokenConfig:
    """audio2token: maps a window of ``seq_len`` encoder positions to ``n_tokens`` audio tokens."""

    seq_len: int = 10
    n_blocks: int = 5
    """Hidden states of the audio encoder per position."""
    channels: int = 384
    hidden_dim: int = 1024
    output_dim: int = 1024
    n_tokens: int = 32


@dataclass(frozen=True, slots=True)
class BucketConfig:
    """audio2bucket: maps a second of audio and the image embedding to two motion buckets."""

    seq_len: int = 50
    n_blocks: int = 1
    channels: int = 384
    clip_dim: int = 1024
    hidden_dim: int = 1024
    output_dim: int = 1
    n_tokens: int = 2


@dataclass(frozen=True, slots=True)
class SonicConfig:
    """Every network's configuration."""

    unet: UNetConfig = UNetConfig()
    vae: VaeConfig = VaeConfig()
    clip: ClipConfig = ClipConfig()
    whisper: WhisperConfig = WhisperConfig()
    token: TokenConfig = TokenConfig()
    bucket: BucketConfig = BucketConfig()


def _get(document: Document, name: str) -> Any:
    if name not in document:
        raise ConfigInvalid(f"{name}: missing")
    return document[name]
