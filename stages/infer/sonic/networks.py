"""The networks of a tree as modules on the meta device: their names and shapes, and no memory."""

from importlib import import_module

import torch
from torch import nn

from stages.infer.sonic.layout import Part
from stages.infer.sonic.sizes import SonicSizes

_NETS = "stages.infer.sonic.nets"
_NETWORKS = {
    Part.UNET: ("unet.model", "SonicUNet", "unet"),
    Part.VAE: ("vae", "Vae", "vae"),
    Part.IMAGE_ENCODER: ("clip", "ClipVision", "clip"),
    Part.WHISPER: ("whisper", "WhisperEncoder", "whisper"),
    Part.AUDIO2TOKEN: ("audio", "AudioToToken", "token"),
    Part.AUDIO2BUCKET: ("audio", "AudioToBucket", "bucket"),
    Part.RIFE: ("rife", "FlowNet", None),
}
"""Module, class, and the field of the sizes it is built with. By name: one network's user need not import all."""


def network(part: Part, sizes: SonicSizes) -> nn.Module:
    """The network of a part, to be filled by ``Tree.load``. The detector has none: it is a program."""
    module, name, field = _NETWORKS[part]
    kind = getattr(import_module(f"{_NETS}.{module}"), name)
    with torch.device("meta"):
        built: nn.Module = kind() if field is None else kind(getattr(sizes, field))
    return built
