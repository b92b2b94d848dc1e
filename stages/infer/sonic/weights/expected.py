"""What each file has to hold: the networks themselves say it, built on the meta device, which has no memory."""

from collections.abc import Callable

import torch
from torch import nn

from stages.infer.sonic.layout import Part
from stages.infer.sonic.nets.audio import AudioToBucket, AudioToToken
from stages.infer.sonic.nets.clip import ClipVision
from stages.infer.sonic.nets.rife import FlowNet
from stages.infer.sonic.nets.unet.model import SonicUNet
from stages.infer.sonic.nets.vae import Vae
from stages.infer.sonic.nets.whisper import WhisperEncoder
from stages.infer.sonic.sizes import SonicSizes

NETWORKS: dict[Part, Callable[[SonicSizes], nn.Module]] = {
    Part.UNET: lambda sizes: SonicUNet(sizes.unet),
    Part.VAE: lambda sizes: Vae(sizes.vae),
    Part.IMAGE_ENCODER: lambda sizes: ClipVision(sizes.clip),
    Part.WHISPER: lambda sizes: WhisperEncoder(sizes.whisper),
    Part.AUDIO2TOKEN: lambda sizes: AudioToToken(sizes.token),
    Part.AUDIO2BUCKET: lambda sizes: AudioToBucket(sizes.bucket),
    Part.RIFE: lambda _: FlowNet(),
}


def expected(part: Part, sizes: SonicSizes) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's tensors, without its file's prefix."""
    with torch.device("meta"):
        network = NETWORKS[part](sizes)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
