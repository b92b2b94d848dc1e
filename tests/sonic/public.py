"""The public tiny configuration in golden/: generated weights, inputs and outputs of every stage, tolerances.

Each stage is compared with its stored outputs twice: in float32 with the first tolerance, in float64 with the second,
which alone detects a wrong epsilon.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stages.infer.sonic.config import (
    BucketConfig,
    ClipConfig,
    SonicConfig,
    TokenConfig,
    VaeConfig,
    WhisperConfig,
)
from tests.sonic.golden import make_tiny_checkpoint

GOLDEN = Path(__file__).with_name("golden")
CONFIG: dict[str, Any] = json.loads((GOLDEN / "A.json").read_text())
VECTORS: dict[str, list[dict[str, Any]]] = json.loads((GOLDEN / "vectors_A.json").read_text())
TOLERANCES: dict[str, dict[str, Any]] = json.loads((GOLDEN / "tolerances.json").read_text())

SVD = "stable-video-diffusion-img2vid-xt"
VAE_FILE = f"{SVD}/vae/diffusion_pytorch_model.fp16.safetensors"
CLIP_FILE = f"{SVD}/image_encoder/model.fp16.safetensors"
WHISPER_FILE = "whisper-tiny/model.safetensors"
RIFE_FILE = "RIFE/flownet.pkl"

M = TypeVar("M", bound=nn.Module)
DTYPES = (torch.float32, torch.float64)


def config_file(name: str) -> Mapping[str, Any]:
    """One of the tree's JSON files."""
    content: Mapping[str, Any] = CONFIG["json_files"][name]
    return content


def tiny_config() -> SonicConfig:
    """The configuration of all networks but the UNet."""
    token, bucket = CONFIG["module_kwargs"]["audio2token"], CONFIG["module_kwargs"]["audio2bucket"]
    return SonicConfig(
        vae=VaeConfig.from_json(config_file(f"{SVD}/vae/config.json")),
        clip=ClipConfig.from_json(config_file(f"{SVD}/image_encoder/config.json")),
        whisper=WhisperConfig.from_json(config_file("whisper-tiny/config.json")),
        token=TokenConfig(
            seq_len=token["seq_len"],
            n_blocks=token["blocks"],
            channels=token["channels"],
            hidden_dim=token["intermediate_dim"],
            output_dim=token["output_dim"],
            n_tokens=token["context_tokens"],
        ),
        bucket=BucketConfig(
            seq_len=bucket["seq_len"],
            n_blocks=bucket["blocks"],
            channels=bucket["channels"],
            clip_dim=bucket["clip_channels"],
            hidden_dim=bucket["intermediate_dim"],
            output_dim=bucket["output_dim"],
            n_tokens=bucket["context_tokens"],
        ),
    )


@cache
def arrays() -> Mapping[str, NDArray[Any]]:
    """All of A.npz."""
    with np.load(GOLDEN / "A.npz") as stored:
        return dict(stored)


def stored(name: str, dtype: torch.dtype = torch.float32) -> Tensor:
    """One array of A.npz as a tensor of this dtype."""
    return torch.from_numpy(arrays()[name]).to(dtype)


@cache
def _tensors(file: str) -> dict[str, Tensor]:
    entry = CONFIG["tensor_files"][file]
    return {
        key: torch.from_numpy(make_tiny_checkpoint.make_tensor(CONFIG, file, key, shape, entry["dtype"]))
        for key, shape in entry["tensors"].items()
    }


def loaded(module: M, file: str, dtype: torch.dtype, prefix: str = "", without: str = "-") -> M:
    """The module with the file's tensors, strictly; ``prefix`` is taken off, keys with ``without`` stay out."""
    state = {
        key.removeprefix(prefix): tensor.to(dtype)
        for key, tensor in _tensors(file).items()
        if key.startswith(prefix) and without not in key
    }
    module.to(dtype).load_state_dict(state, strict=True)
    return module.eval().requires_grad_(False)


def assert_close(actual: Tensor, name: str, tolerance_of: str = "") -> None:
    """``actual`` equals the stored array within the tolerance of its own dtype (float32 without another)."""
    tolerance = TOLERANCES[tolerance_of or name.removeprefix("main.")]
    allowed = tolerance["f64" if actual.dtype == torch.float64 and "f64" in tolerance else "f32"]
    expected = torch.from_numpy(arrays()[name])
    assert actual.shape == expected.shape, f"{name}: {tuple(actual.shape)} for {tuple(expected.shape)}"
    worst = (actual.double() - expected.double()).abs().max().item()
    print(f"{name} {actual.dtype}: worst difference {worst:.2e}, allowed {allowed:.0e} ({worst / allowed:.3f})")
    assert worst <= allowed, f"{name}: {worst:.3e} > {allowed:.0e}"
