"""A converted weights folder of random numbers: what loading costs does not depend on the values."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from stages.infer.sonic.layout import CONVERTED, MANIFEST, Part
from stages.infer.sonic.manifest import Manifest
from stages.infer.sonic.nets.audio import AudioToBucket, AudioToToken
from stages.infer.sonic.nets.clip import ClipVision
from stages.infer.sonic.nets.rife import FlowNet
from stages.infer.sonic.nets.unet.model import SonicUNet
from stages.infer.sonic.nets.vae import Vae
from stages.infer.sonic.nets.whisper import WhisperEncoder
from stages.infer.sonic.sizes import (
    BucketSizes,
    ClipSizes,
    SonicSizes,
    TokenSizes,
    UNetSizes,
    VaeSizes,
    WhisperSizes,
)

OFFICIAL = SonicSizes()
TINY = SonicSizes(
    unet=UNetSizes(channels=(64, 64, 128, 128), heads=(2, 4, 4, 8), layers=1, context=32, time_id_dim=32, frames=5),
    vae=VaeSizes(channels=(32, 64, 64, 64)),
    clip=ClipSizes(hidden=32, mlp=64, layers=2, heads=2, patch=56, projection=32),
    whisper=WhisperSizes(width=16, heads=2, mlp=32),
    token=TokenSizes(channels=16, hidden=32, output=32),
    bucket=BucketSizes(channels=16, clip=32, hidden=32),
)
HALF = (Part.UNET, Part.VAE, Part.IMAGE_ENCODER)


def write_tree(folder: Path, sizes: SonicSizes) -> int:
    """Write every network's file and configuration; returns the bytes."""
    builders: dict[Part, Callable[[], nn.Module]] = {
        Part.UNET: lambda: SonicUNet(sizes.unet),
        Part.VAE: lambda: Vae(sizes.vae),
        Part.IMAGE_ENCODER: lambda: ClipVision(sizes.clip),
        Part.WHISPER: lambda: WhisperEncoder(sizes.whisper),
        Part.AUDIO2TOKEN: lambda: AudioToToken(sizes.token),
        Part.AUDIO2BUCKET: lambda: AudioToBucket(sizes.bucket),
        Part.RIFE: FlowNet,
    }
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(1)
    written = 0
    for part, build in builders.items():
        with torch.device("meta"):
            shapes = {name: tuple(tensor.shape) for name, tensor in build().state_dict().items()}
        file = CONVERTED.files[part]
        kind = torch.float16 if part in HALF else torch.float32
        state = {file.prefix + name: _random(shape, kind, generator) for name, shape in shapes.items()}
        save_file(state, folder / file.path)
        written += (folder / file.path).stat().st_size
    for part, config in _configs(sizes).items():
        (folder / CONVERTED.configs[part]).write_text(json.dumps(config))
    Manifest(dtype="fp16", official=False).write(folder / MANIFEST)
    return written


def _random(shape: tuple[int, ...], kind: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    """Matrices keep the size of what they are given; gains lie near 1."""
    tensor = torch.empty(shape, dtype=torch.float32).normal_(generator=generator)
    inputs = tensor[0].numel() if tensor.dim() > 1 else 0
    return (tensor * inputs**-0.5 if inputs else 1 + 0.1 * tensor).to(kind)


def _configs(sizes: SonicSizes) -> dict[Part, dict[str, Any]]:
    """The JSON files that the sizes would be read from."""
    unet, vae, clip, whisper = sizes.unet, sizes.vae, sizes.clip, sizes.whisper
    down = ["CrossAttnDown" if attends else "Down" for attends in unet.attends]
    up = ["CrossAttnUp" if attends else "Up" for attends in reversed(unet.attends)]
    return {
        Part.UNET: {
            "in_channels": unet.in_channels,
            "out_channels": unet.out_channels,
            "block_out_channels": unet.channels,
            "num_attention_heads": unet.heads,
            "down_block_types": down,
            "up_block_types": up,
            "layers_per_block": unet.layers,
            "cross_attention_dim": unet.context,
            "addition_time_embed_dim": unet.time_id_dim,
            "projection_class_embeddings_input_dim": 3 * unet.time_id_dim,
            "num_frames": unet.frames,
        },
        Part.VAE: {
            "block_out_channels": vae.channels,
            "layers_per_block": vae.layers,
            "latent_channels": vae.latent_channels,
            "scaling_factor": vae.scaling,
        },
        Part.IMAGE_ENCODER: {
            "hidden_size": clip.hidden,
            "intermediate_size": clip.mlp,
            "num_hidden_layers": clip.layers,
            "num_attention_heads": clip.heads,
            "image_size": clip.image,
            "patch_size": clip.patch,
            "projection_dim": clip.projection,
        },
        Part.WHISPER: {
            "d_model": whisper.width,
            "encoder_layers": whisper.layers,
            "encoder_attention_heads": whisper.heads,
            "encoder_ffn_dim": whisper.mlp,
            "num_mel_bins": whisper.bands,
            "max_source_positions": whisper.positions,
        },
    }
