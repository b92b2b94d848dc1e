"""A folder of the model's weights, and strict loading of its files into modules."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from stages.infer.sonic.config import SonicConfig
from stages.infer.sonic.weights import manifest
from stages.infer.sonic.weights.comparison import compare
from stages.infer.sonic.weights.faults import WeightsRefused
from stages.infer.sonic.weights.layout import CONVERTED, Layout, Part, detect_layout
from stages.infer.sonic.weights.tensors import TensorFile, dtype_faults, open_tensors
from stages.infer.sonic.weights.tree_config import read_config

Progress = Callable[[int, int], None]
"""Called after every tensor with bytes done and bytes in all."""


@dataclass(frozen=True, slots=True)
class LoadedPart:
    """What loading one part took. On the CPU pages are read at first use, which ``seconds`` does not include."""

    part: Part
    file: Path
    tensors: int
    bytes: int
    """As stored in the file."""
    seconds: float


class WeightsTree:
    """An opened folder: its layout and the configuration of its networks."""

    def __init__(self, folder: Path, layout: Layout, config: SonicConfig) -> None:
        self.folder = folder
        self.layout = layout
        self.config = config

    def path(self, part: Part) -> Path:
        """The file of a part, whether it exists or not."""
        return self.folder / self.layout.files[part].path

    def tensors(self, part: Part) -> TensorFile:
        """A part's tensors under the file's own names. Raises WeightsRefused."""
        return open_tensors(self.folder, self.layout.files[part].path)

    def load(
        self,
        part: Part,
        module: nn.Module,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        progress: Progress | None = None,
    ) -> LoadedPart:
        """Fill a module that was built on the meta device, set evaluation mode and turn gradients off.

        ``dtype`` None keeps that of the file: fp32, and fp16 for the autoencoder and the image encoder of the official
        files. Nothing is assigned unless every name and shape matches in both directions. Raises WeightsRefused: the
        codes of ``open_tensors``, DICE_TALK, PREFIX_DIFFERS, KEY_MISSING, KEY_UNEXPECTED, KEY_RENAMED, SHAPE_DIFFERS,
        DTYPE_UNKNOWN.
        """
        started = time.monotonic()
        file = self.layout.files[part]
        tensors = self.tensors(part)
        expected = module.state_dict()
        shapes = {name: tuple(tensor.shape) for name, tensor in expected.items()}
        keys = {name: file.prefix + name for name in expected}
        if faults := compare(shapes, tensors.shapes, file) or dtype_faults(tensors, keys.values()):
            raise WeightsRefused(faults)
        total, done = sum(tensors[key].nbytes for key in keys.values()), 0
        state: dict[str, torch.Tensor] = {}
        for name, key in keys.items():
            state[name] = tensors[key].to(device, dtype)
            done += tensors[key].nbytes
            if progress is not None:
                progress(done, total)
        module.load_state_dict(state, strict=True, assign=True)
        module.requires_grad_(False).eval()
        return LoadedPart(part, tensors.path, len(keys), total, time.monotonic() - started)


def open_tree(folder: Path) -> WeightsTree:
    """Detect the layout of a weights folder and read its configuration; no network's tensors are read.

    Raises WeightsRefused: FOLDER_MISSING, FILE_MISSING, COMFY_LAYOUT, UNFINISHED, MANIFEST_INVALID, CONFIG_INVALID,
    SIZES_CONFLICT, and the codes of ``open_tensors`` for the two small audio networks, whose configuration is in the
    shapes of their tensors.
    """
    layout = detect_layout(folder)
    if layout is CONVERTED:
        manifest.read(folder)
    token, bucket = (
        open_tensors(folder, layout.files[part].path).shapes for part in (Part.AUDIO2TOKEN, Part.AUDIO2BUCKET)
    )
    return WeightsTree(folder, layout, read_config(folder, layout, token, bucket))
