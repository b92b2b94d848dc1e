"""All networks of a weights folder, built on no device and filled from the files."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from stages.infer.sonic.checkpoint import Loaded, Progress, Tree
from stages.infer.sonic.layout import Part
from stages.infer.sonic.nets.audio import AudioToBucket, AudioToToken
from stages.infer.sonic.nets.clip import ClipVision
from stages.infer.sonic.nets.rife import FlowNet
from stages.infer.sonic.nets.unet.model import SonicUNet
from stages.infer.sonic.nets.vae import Vae
from stages.infer.sonic.nets.whisper import WhisperEncoder

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class Networks:
    """In evaluation mode, without gradients.

    UNet, autoencoder and image encoder compute in the type asked for; the small ones in float32 at least: together
    they are a hundredth of the work, and motion figures are read off their last digits.
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
        """Where the UNet lies."""
        return self.unet.conv_in.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What the UNet computes in."""
        return self.unet.conv_in.weight.dtype


def load_networks(
    tree: Tree,
    device: torch.device | str,
    dtype: torch.dtype,
    *,
    on_part: Callable[[Loaded], None] = lambda _: None,
    progress: Progress | None = None,
) -> Networks:
    """Fill every network. Raises WeightsRefused when a file is not what the sizes say."""
    small = torch.promote_types(dtype, torch.float32)
    sizes = tree.sizes

    def filled(part: Part, build: Callable[[], Network], kind: torch.dtype) -> Network:
        with torch.device("meta"):
            network = build()
        on_part(tree.load(part, network, device, kind, progress))
        return network

    return Networks(
        unet=filled(Part.UNET, lambda: SonicUNet(sizes.unet), dtype),
        vae=filled(Part.VAE, lambda: Vae(sizes.vae), dtype),
        image_encoder=filled(Part.IMAGE_ENCODER, lambda: ClipVision(sizes.clip), dtype),
        whisper=filled(Part.WHISPER, lambda: WhisperEncoder(sizes.whisper), small),
        audio2token=filled(Part.AUDIO2TOKEN, lambda: AudioToToken(sizes.token), small),
        audio2bucket=filled(Part.AUDIO2BUCKET, lambda: AudioToBucket(sizes.bucket), small),
        rife=filled(Part.RIFE, FlowNet, small),
    )
