"""All networks of a weights folder: built on the meta device, then filled from the files."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from stages.infer.sonic.nets.audio import AudioToBucket, AudioToToken
from stages.infer.sonic.nets.clip import ClipVision
from stages.infer.sonic.nets.rife import FlowNet
from stages.infer.sonic.nets.unet.model import SonicUNet
from stages.infer.sonic.nets.vae import Vae
from stages.infer.sonic.nets.whisper import WhisperEncoder
from stages.infer.sonic.weights.layout import Part
from stages.infer.sonic.weights.tree import LoadedPart, Progress, WeightsTree

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class Networks:
    """In evaluation mode, without gradients.

    UNet, autoencoder and image encoder compute in the requested dtype; the small networks in float32 at least: together
    they are a hundredth of the work, and motion buckets need their precision.
    """

    unet: SonicUNet
    vae: Vae
    image_encoder: ClipVision
    whisper: WhisperEncoder
    audio2token: AudioToToken
    audio2bucket: AudioToBucket
    rife: FlowNet

    @property
    def device(self) -> torch.device:
        """The UNet's device."""
        return self.unet.conv_in.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The UNet's dtype."""
        return self.unet.conv_in.weight.dtype


def load_networks(
    tree: WeightsTree,
    device: torch.device | str,
    dtype: torch.dtype,
    *,
    on_part: Callable[[LoadedPart], None] = lambda _: None,
    progress: Progress | None = None,
) -> Networks:
    """Load every network. Raises WeightsRefused when a file does not match the configuration."""
    small = torch.promote_types(dtype, torch.float32)
    config = tree.config

    def load(part: Part, build: Callable[[], Network], dtype: torch.dtype) -> Network:
        with torch.device("meta"):
            network = build()
        on_part(tree.load(part, network, device, dtype, progress))
        return network

    return Networks(
        unet=load(Part.UNET, lambda: SonicUNet(config.unet), dtype),
        vae=load(Part.VAE, lambda: Vae(config.vae), dtype),
        image_encoder=load(Part.IMAGE_ENCODER, lambda: ClipVision(config.clip), dtype),
        whisper=load(Part.WHISPER, lambda: WhisperEncoder(config.whisper), small),
        audio2token=load(Part.AUDIO2TOKEN, lambda: AudioToToken(config.token), small),
        audio2bucket=load(Part.AUDIO2BUCKET, lambda: AudioToBucket(config.bucket), small),
        rife=load(Part.RIFE, FlowNet, small),
    )
