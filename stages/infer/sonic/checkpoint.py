"""A folder of the model's weights, and the strict way from its files into modules."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

import torch
from torch import nn

from stages.infer.sonic import catalogue, manifest
from stages.infer.sonic.comparison import compare
from stages.infer.sonic.derived import sizes_of
from stages.infer.sonic.faults import Fault, WeightsCode, WeightsRefused
from stages.infer.sonic.layout import CONVERTED, Layout, Part, recognise
from stages.infer.sonic.sizes import SonicSizes
from stages.infer.sonic.tensors import TensorFile, dtype_faults, open_tensors

__all__ = ["Loaded", "Part", "Tree", "WeightsCode", "WeightsRefused", "open_tree"]

Progress = Callable[[int, int], None]
"""Told bytes done and bytes in all, after every tensor."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What loading one part took; on the CPU pages are read when they are first used, so not within ``seconds``."""

    part: Part
    file: Path
    tensors: int
    bytes: int
    """As stored in the file."""
    seconds: float


class Tree:
    """An opened folder: where each part lies, and how large the networks are."""

    def __init__(self, folder: Path, layout: Layout, sizes: SonicSizes) -> None:
        self.folder = folder
        self.layout = layout
        self.sizes = sizes

    def path(self, part: Part) -> Path:
        """The file of a part, whether it is there or not."""
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
    ) -> Loaded:
        """Fill a module that was built on the meta device; it is then in evaluation mode and wants no gradients.

        ``dtype`` None keeps that of the file: fp32, fp16 for the autoencoder and the image encoder of the official
        files. Nothing is assigned unless every name and shape fits both ways. Raises WeightsRefused: what
        ``open_tensors`` does, DICE_TALK, PREFIX_DIFFERS, KEY_MISSING, KEY_UNEXPECTED, KEY_RENAMED, SHAPE_DIFFERS,
        DTYPE_UNKNOWN.
        """
        begun = time.monotonic()
        file = self.layout.files[part]
        found = self.tensors(part)
        expected = module.state_dict()
        shapes = {name: tuple(tensor.shape) for name, tensor in expected.items()}
        names = {name: file.prefix + name for name in expected}
        if faults := compare(shapes, found.shapes, file) or dtype_faults(found, names.values()):
            raise WeightsRefused(faults)
        whole, done = sum(found[key].nbytes for key in names.values()), 0
        state: dict[str, torch.Tensor] = {}
        for name, key in names.items():
            state[name] = found[key].to(device, dtype)
            done += found[key].nbytes
            if progress is not None:
                progress(done, whole)
        module.load_state_dict(state, strict=True, assign=True)
        module.requires_grad_(False).eval()
        return Loaded(part, found.path, len(names), whole, time.monotonic() - begun)

    def detector(self, *, any_program: bool = False) -> Path | None:
        """The face detector's TorchScript file; None when the tree has none.

        TorchScript is a program, so only the published one may be run, known by its SHA-256, unless ``any_program``.
        Raises WeightsRefused (DIGEST_DIFFERS).
        """
        path = self.path(Part.DETECTOR)
        if not path.is_file():
            return None
        published = catalogue.entry(Part.DETECTOR).sha256
        if not any_program:
            with path.open("rb") as file:
                found = file_digest(file, "sha256").hexdigest()
            if found != published:
                name = self.layout.files[Part.DETECTOR].path
                raise WeightsRefused([Fault(WeightsCode.DIGEST_DIFFERS, name, "sha256", published or "", found)])
        return path


def open_tree(folder: Path) -> Tree:
    """Recognise the layout of a weights folder and read its sizes; no network's tensors are read.

    Raises WeightsRefused: FOLDER_MISSING, FILE_MISSING, COMFY_LAYOUT, MANIFEST_INVALID, CONFIG_INVALID, SIZES_CONFLICT,
    and what ``open_tensors`` raises for the two small audio networks, whose shapes are sizes.
    """
    layout = recognise(folder)
    if layout is CONVERTED:
        manifest.read(folder)
    token, bucket = (
        open_tensors(folder, layout.files[part].path).shapes for part in (Part.AUDIO2TOKEN, Part.AUDIO2BUCKET)
    )
    return Tree(folder, layout, sizes_of(folder, layout, token, bucket))
