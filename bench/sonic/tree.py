"""Writes a converted weights folder of random numbers: loading costs the same whatever the values are."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from stages.infer.sonic.config import (
    BucketConfig,
    ClipConfig,
    SonicConfig,
    TokenConfig,
    UNetConfig,
    VaeConfig,
    WhisperConfig,
)
from stages.infer.sonic.weights.expected import expected_shapes
from stages.infer.sonic.weights.layout import CONVERTED, MANIFEST, TENSOR_PARTS, Part
from stages.infer.sonic.weights.manifest import Manifest

OFFICIAL = SonicConfig()
TINY = SonicConfig(
    unet=UNetConfig(
        channels=(64, 64, 128, 128), heads=(2, 4, 4, 8), layers=1, context_dim=32, time_id_dim=32, num_frames=5
    ),
    vae=VaeConfig(channels=(32, 64, 64, 64)),
    clip=ClipConfig(width=32, mlp_dim=64, layers=2, heads=2, patch_size=56, projection_dim=32),
    whisper=WhisperConfig(n_state=16, n_head=2, n_mlp=32),
    token=TokenConfig(channels=16, hidden_dim=32, output_dim=32),
    bucket=BucketConfig(channels=16, clip_dim=32, hidden_dim=32),
)
HALF = (Part.UNET, Part.VAE, Part.IMAGE_ENCODER)


def write_tree(folder: Path, config: SonicConfig) -> int:
    """Write every network's file and configuration; returns the bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(1)
    written = 0
    for part in TENSOR_PARTS:
        file = CONVERTED.files[part]
        dtype = torch.float16 if part in HALF else torch.float32
        shapes = expected_shapes(part, config)
        state = {file.prefix + name: _random(shape, dtype, generator) for name, shape in shapes.items()}
        save_file(state, folder / file.path)
        written += (folder / file.path).stat().st_size
    for described, document in _config_files(config).items():
        (folder / CONVERTED.configs[described]).write_text(json.dumps(document))
    Manifest(dtype="fp16", official=False).write(folder / MANIFEST)
    return written


def _random(shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    """Matrices preserve the scale of their input; gains are near 1."""
    tensor = torch.empty(shape, dtype=torch.float32).normal_(generator=generator)
    inputs = tensor[0].numel() if tensor.dim() > 1 else 0
    return (tensor * inputs**-0.5 if inputs else 1 + 0.1 * tensor).to(dtype)


def _config_files(config: SonicConfig) -> dict[Part, dict[str, Any]]:
    """The JSON files of a config."""
    unet, vae, clip, whisper = config.unet, config.vae, config.clip, config.whisper
    down = ["CrossAttnDown" if attention else "Down" for attention in unet.has_attention]
    up = ["CrossAttnUp" if attention else "Up" for attention in reversed(unet.has_attention)]
    return {
        Part.UNET: {
            "in_channels": unet.in_channels,
            "out_channels": unet.out_channels,
            "block_out_channels": unet.channels,
            "num_attention_heads": unet.heads,
            "down_block_types": down,
            "up_block_types": up,
            "layers_per_block": unet.layers,
            "cross_attention_dim": unet.context_dim,
            "addition_time_embed_dim": unet.time_id_dim,
            "projection_class_embeddings_input_dim": 3 * unet.time_id_dim,
            "num_frames": unet.num_frames,
        },
        Part.VAE: {
            "block_out_channels": vae.channels,
            "layers_per_block": vae.layers,
            "latent_channels": vae.latent_channels,
            "scaling_factor": vae.scaling_factor,
        },
        Part.IMAGE_ENCODER: {
            "hidden_size": clip.width,
            "intermediate_size": clip.mlp_dim,
            "num_hidden_layers": clip.layers,
            "num_attention_heads": clip.heads,
            "image_size": clip.image_size,
            "patch_size": clip.patch_size,
            "projection_dim": clip.projection_dim,
        },
        Part.WHISPER: {
            "d_model": whisper.n_state,
            "encoder_layers": whisper.n_layer,
            "encoder_attention_heads": whisper.n_head,
            "encoder_ffn_dim": whisper.n_mlp,
            "num_mel_bins": whisper.n_mels,
            "max_source_positions": whisper.n_ctx,
        },
    }
