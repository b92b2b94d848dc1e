"""The tensors that each file must hold, from the networks themselves, built on the meta device without memory."""

from collections.abc import Callable

import torch
from torch import nn

from stages.infer.sonic.config import SonicConfig
from stages.infer.sonic.nets.audio import AudioToBucket, AudioToToken
from stages.infer.sonic.nets.clip import ClipVision
from stages.infer.sonic.nets.rife import FlowNet
from stages.infer.sonic.nets.unet.model import SonicUNet
from stages.infer.sonic.nets.vae import Vae
from stages.infer.sonic.nets.whisper import WhisperEncoder
from stages.infer.sonic.weights.layout import Part

NETWORKS: dict[Part, Callable[[SonicConfig], nn.Module]] = {
    Part.UNET: lambda config: SonicUNet(config.unet),
    Part.VAE: lambda config: Vae(config.vae),
    Part.IMAGE_ENCODER: lambda config: ClipVision(config.clip),
    Part.WHISPER: lambda config: WhisperEncoder(config.whisper),
    Part.AUDIO2TOKEN: lambda config: AudioToToken(config.token),
    Part.AUDIO2BUCKET: lambda config: AudioToBucket(config.bucket),
    Part.RIFE: lambda _: FlowNet(),
}


def expected_shapes(part: Part, config: SonicConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's tensors, without its file's prefix."""
    with torch.device("meta"):
        network = NETWORKS[part](config)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
