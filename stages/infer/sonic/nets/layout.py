"""Memory layout of convolution weights: channels last is what tensor cores want."""

import torch
from torch import nn

_LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}


def channels_last(module: nn.Module) -> None:
    """Lays the weights of all convolutions out channels last, in place; activations follow the weights.

    Values stay the same. ``nn.Module.to`` knows one layout for a whole module, which has weights of 4 and 5 dimensions.
    """
    for parameter in module.parameters():
        if parameter.dim() in _LAYOUTS:
            parameter.data = parameter.data.contiguous(memory_format=_LAYOUTS[parameter.dim()])
