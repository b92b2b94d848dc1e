"""Which file holds which network in each layout of a weights folder; free of torch."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from stages.infer.sonic.weights.faults import Fault, WeightsCode, WeightsRefused

MANIFEST = "weights.json"
"""A folder with this file is a finished conversion."""
JOURNAL = ".conversion.json"
"""Lists the finished files of a conversion that is not finished."""
_SVD = "stable-video-diffusion-img2vid-xt"


class Part(StrEnum):
    """The networks of the model."""

    UNET = "unet"
    VAE = "vae"
    IMAGE_ENCODER = "image_encoder"
    WHISPER = "whisper"
    AUDIO2TOKEN = "audio2token"
    AUDIO2BUCKET = "audio2bucket"
    RIFE = "rife"
    DETECTOR = "detector"


@dataclass(frozen=True, slots=True)
class PartFile:
    """One network's file, and how the names of its tensors differ from the module's."""

    path: str
    prefix: str = ""
    """Precedes each of the module's names."""
    unused: tuple[str, ...] = ()
    """Prefixes of tensors that inference does not use."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths relative to the folder."""

    name: str
    files: dict[Part, PartFile]
    configs: dict[Part, str]
    """JSON files with the configurations."""


OFFICIAL = Layout(
    "official",
    {
        Part.UNET: PartFile("Sonic/unet.pth"),
        Part.VAE: PartFile(f"{_SVD}/vae/diffusion_pytorch_model.fp16.safetensors"),
        # Older exports store the row numbers of the position embedding beside it.
        Part.IMAGE_ENCODER: PartFile(
            f"{_SVD}/image_encoder/model.fp16.safetensors", unused=("vision_model.embeddings.position_ids",)
        ),
        Part.WHISPER: PartFile("whisper-tiny/model.safetensors", "model.encoder.", ("model.decoder.", "proj_out.")),
        Part.AUDIO2TOKEN: PartFile("Sonic/audio2token.pth"),
        Part.AUDIO2BUCKET: PartFile("Sonic/audio2bucket.pth"),
        # The teacher of RIFE's training.
        Part.RIFE: PartFile("RIFE/flownet.pkl", "module.", ("module.block_tea.",)),
        Part.DETECTOR: PartFile("yoloface_v5m.pt"),
    },
    {
        Part.UNET: f"{_SVD}/unet/config.json",
        Part.VAE: f"{_SVD}/vae/config.json",
        Part.IMAGE_ENCODER: f"{_SVD}/image_encoder/config.json",
        Part.WHISPER: "whisper-tiny/config.json",
    },
)
CONVERTED = Layout(
    "converted",
    {
        part: PartFile(file.path if part is Part.DETECTOR else f"{part}.safetensors")
        for part, file in OFFICIAL.files.items()
    },
    {part: f"{part}.json" for part in OFFICIAL.configs},
)
TENSOR_PARTS = tuple(part for part in Part if part is not Part.DETECTOR)
"""All but the detector, an optional TorchScript program that nothing here runs: the face stage gives the box."""


def detect_layout(folder: Path) -> Layout:
    """The layout of a folder. Raises WeightsRefused (FOLDER_MISSING, COMFY_LAYOUT, UNFINISHED)."""
    if not folder.is_dir():
        raise WeightsRefused([Fault(WeightsCode.FOLDER_MISSING, folder.name, found="no such folder")])
    if (folder / MANIFEST).is_file():
        return CONVERTED
    if (folder / JOURNAL).is_file():
        reason = "an unfinished conversion: `lipstage weights convert` resumes it"
        raise WeightsRefused([Fault(WeightsCode.UNFINISHED, folder.name, found=reason)])
    if not (folder / "Sonic").is_dir() and (comfy := _comfy_file(folder)) is not None:
        reason = (
            "ComfyUI's layout: svd_xt.safetensors names its tensors differently. Use the official layout: Sonic/ with "
            f"the three .pth files, RIFE/, whisper-tiny/ from here, and {_SVD}/ from the SVD-XT repository"
        )
        raise WeightsRefused([Fault(WeightsCode.COMFY_LAYOUT, comfy, found=reason)])
    return OFFICIAL


def _comfy_file(folder: Path) -> str | None:
    """A file that only ComfyUI's layout has: the UNet outside Sonic/, or SVD in one file."""
    for name in ("unet.pth", "sonic/unet.pth", "models/sonic/unet.pth"):
        if (folder / name).is_file():
            return name
    svd = next(folder.glob("**/svd_xt*.safetensors"), None)
    return svd.relative_to(folder).as_posix() if svd is not None else None
