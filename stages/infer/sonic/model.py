"""The loaded model: device and dtype, networks from a weights tree, warm-up."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from hashlib import sha256

import torch
from torch import nn

from shared.slot.api import Unavailable
from stages.infer.sonic import compiler
from stages.infer.sonic.config import SonicConfig
from stages.infer.sonic.denoise import BRANCHES, Conditioning, DenoiseParams, denoise
from stages.infer.sonic.memory import limit_memory
from stages.infer.sonic.nets.unet.optimization import OptimizationFlags
from stages.infer.sonic.networks import Networks, load_networks
from stages.infer.sonic.settings import SonicSettings
from stages.infer.sonic.weights.faults import WeightsRefused
from stages.infer.sonic.weights.tree import LoadedPart, Progress, open_tree

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}

LOG_EVERY_S = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """The loaded networks on one device.

    fingerprint: hex SHA-256 of everything that determines results beside a request: values and dtypes of all weights,
    device and library. Two models with equal fingerprints give equal bytes.
    """

    config: SonicConfig
    networks: Networks
    fingerprint: str
    optimization: OptimizationFlags
    memory_limit: int | None = None
    """Bytes of the accelerator that this process may hold."""

    @property
    def device(self) -> torch.device:
        """The device of all networks."""
        return self.networks.device

    @property
    def device_name(self) -> str:
        """The accelerator's name; ``cpu`` without one."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"


def choose_device(setting: str) -> torch.device:
    """The device of the setting LIPSTAGE_SONIC_DEVICE. Raises Unavailable when it does not exist.

    CUDA counts only the devices in CUDA_VISIBLE_DEVICES, MIG instances included; ``cuda:0`` is the first of those.
    """
    if setting == "cpu" or (setting == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    device = torch.device("cuda:0" if setting in ("auto", "cuda") else setting)
    visible = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.index >= visible:
        raise Unavailable(f"LIPSTAGE_SONIC_DEVICE={setting}: CUDA shows {visible} devices here")
    return device


def load(settings: SonicSettings) -> Model:
    """Open the weights tree, load every network, warm the device up.

    Raises Unavailable for weights and devices that an operator can provide, OSError, torch.OutOfMemoryError.
    """
    if settings.weights is None:
        raise Unavailable("no weights: set LIPSTAGE_SONIC_WEIGHTS to their folder (see docs/sonic.md)")
    if settings.compiled and (lacking := compiler.missing()):
        raise Unavailable(f"LIPSTAGE_SONIC_COMPILED=true needs {lacking} (see docs/sonic.md)")
    device = choose_device(settings.device)
    dtype = DTYPES[settings.dtype] if settings.dtype != "auto" else _default_dtype(device)
    limit = None if settings.memory_mb is None else settings.memory_mb << 20
    limit_memory(device, limit)
    try:
        tree = open_tree(settings.weights)
        if settings.device == "auto" and device.type == "cpu" and tree.config == SonicConfig():
            raise Unavailable("no GPU is visible; with LIPSTAGE_SONIC_DEVICE=cpu a step takes minutes")
        networks = load_networks(tree, device, dtype, on_part=_log_part, progress=_log_progress())
    except WeightsRefused as e:
        # Without the folder's name: the reason is shown on a health port.
        raise Unavailable(f"weights refused: {e} (`lipstage weights check` shows all)") from e
    optimization = OptimizationFlags(compiled=settings.compiled, flat_convolution=settings.compiled)
    networks.unet.apply_optimization(optimization)
    model = Model(tree.config, networks, _fingerprint(networks), optimization, limit)
    log.info("model_loaded", extra={"fields": {"device": model.device_name, "dtype": str(dtype)}})
    if device.type == "cuda":
        warm_up(model)
    return model


def _log_part(part: LoadedPart) -> None:
    values = {"part": str(part.part), "bytes": part.bytes, "seconds": round(part.seconds, 3)}
    log.info("weights_loaded", extra={"fields": values})


def _log_progress() -> Progress:
    """Log the progress of a part that loads slowly: a network volume may take a minute for 6 GB."""
    logged_at = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal logged_at
        if time.monotonic() - logged_at >= LOG_EVERY_S:
            logged_at = time.monotonic()
            log.info("weights_loading", extra={"fields": {"done_mb": done >> 20, "total_mb": total >> 20}})

    return progress


def _default_dtype(device: torch.device) -> torch.dtype:
    return torch.float16 if device.type == "cuda" else torch.float32


def _fingerprint(networks: Networks) -> str:
    digest = sha256(f"{_machine(networks.device)} {torch.__version__} {torch.get_num_threads()}".encode())
    for field in fields(networks):
        _digest(getattr(networks, field.name), digest.update)
    return digest.hexdigest()


def _machine(device: torch.device) -> str:
    """What torch chooses kernels by: the accelerator, or the CPU's vector instructions."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu {torch.backends.cpu.get_cpu_capability()}"


def _digest(module: nn.Module, update: Callable[[bytes], None]) -> None:
    """Names, dtypes, shapes and the float64 sum of each tensor: reading all files again would take a minute."""
    names, sums = [], []
    for name, tensor in module.state_dict().items():
        names.append(f"{name} {tensor.dtype} {tuple(tensor.shape)}")
        sums.append(tensor.sum(dtype=torch.float64))
    update("\n".join(names).encode())
    update(torch.stack(sums).cpu().numpy().tobytes())


def warm_up(model: Model) -> None:
    """Run one step of a small clip: the first kernels of a process take seconds, and no request should wait for them.

    Compiled blocks are compiled for one picture size, so then it is the usual one, 512 x 512.
    """
    config, networks = model.config, model.networks
    device, dtype = networks.device, networks.dtype
    frames, side = config.unet.num_frames, 64 if model.optimization.compiled else 8
    silence = torch.zeros(config.token.n_tokens, config.token.output_dim, device=device, dtype=dtype)
    conditioning = Conditioning(
        portrait=torch.zeros(1, config.vae.latent_channels, side, side, device=device, dtype=dtype),
        image=torch.zeros(1, config.clip.projection_dim, device=device, dtype=dtype),
        speech=silence.expand(frames, -1, -1),
        silence=silence,
        motion=torch.zeros(frames, 2, device=device),
        mask=None,
    )
    params = DenoiseParams(
        steps=1,
        window=frames,
        batch_size=1 if model.optimization.compiled else BRANCHES,
        optimization=model.optimization,
    )
    latents = torch.zeros(1, frames, config.vae.latent_channels, side, side)
    latents = denoise(networks.unet, conditioning, latents, params)
    with torch.inference_mode():
        networks.vae.decode(latents[0, :2].to(device), 2)
    torch.cuda.synchronize(device)
