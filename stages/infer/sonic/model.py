"""The networks in memory: which device, which number type, loaded from a tree once and warmed up."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from hashlib import sha256

import torch
from torch import nn

from shared.slot.api import Unavailable
from stages.infer.sonic.checkpoint import Loaded, Progress, WeightsRefused, open_tree
from stages.infer.sonic.denoise import BRANCHES, Conditioning, Loop, denoise
from stages.infer.sonic.memory import limited
from stages.infer.sonic.nets.unet.switches import Switches
from stages.infer.sonic.networks import Networks, load_networks
from stages.infer.sonic.settings import SonicSettings
from stages.infer.sonic.sizes import SonicSizes

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}

TELL_EVERY_S = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """Everything loaded, on one device.

    fingerprint: hex SHA-256 of what decides the numbers beside a request: values and types of all weights, device and
    library. Two models with the same one give the same bytes.
    """

    sizes: SonicSizes
    networks: Networks
    fingerprint: str
    switches: Switches
    memory_limit: int | None = None
    """Bytes of the accelerator that this process may hold."""

    @property
    def device(self) -> torch.device:
        """Where everything lies."""
        return self.networks.device

    @property
    def device_name(self) -> str:
        """The accelerator's name; ``cpu`` without one."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"


def choose_device(wanted: str) -> torch.device:
    """The device that LIPSTAGE_SONIC_DEVICE names. Raises Unavailable when it is not there.

    CUDA counts only what CUDA_VISIBLE_DEVICES shows, a MIG instance included; ``cuda:0`` is the first of those.
    """
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    device = torch.device("cuda:0" if wanted in ("auto", "cuda") else wanted)
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.index >= there:
        raise Unavailable(f"LIPSTAGE_SONIC_DEVICE={wanted}: CUDA shows {there} devices here")
    return device


def load(settings: SonicSettings) -> Model:
    """Open the tree, load every network, warm the device up.

    Raises Unavailable for weights and devices that an operator can put there, OSError, torch.OutOfMemoryError.
    """
    if settings.weights is None:
        raise Unavailable("no weights: set LIPSTAGE_SONIC_WEIGHTS to their folder (see docs/sonic.md)")
    device = choose_device(settings.device)
    dtype = DTYPES[settings.dtype] if settings.dtype != "auto" else _usual(device)
    limit = None if settings.memory_mb is None else settings.memory_mb << 20
    limited(device, limit)
    try:
        tree = open_tree(settings.weights)
        if settings.device == "auto" and device.type == "cpu" and tree.sizes == SonicSizes():
            raise Unavailable("no GPU is visible; with LIPSTAGE_SONIC_DEVICE=cpu a step takes minutes")
        networks = load_networks(tree, device, dtype, on_part=_told, progress=_telling())
    except WeightsRefused as e:
        # The folder's own name stays out: a reason ends on a health port.
        raise Unavailable(f"weights refused: {e} (`lipstage weights check` shows all)") from e
    switches = Switches(compiled=settings.compiled, flat_convolution=settings.compiled)
    networks.unet.apply_switches(switches)
    model = Model(tree.sizes, networks, _fingerprint(networks), switches, limit)
    log.info("model_loaded", extra={"fields": {"device": model.device_name, "dtype": str(dtype)}})
    if device.type == "cuda":
        warm_up(model)
    return model


def _told(part: Loaded) -> None:
    figures = {"part": str(part.part), "bytes": part.bytes, "seconds": round(part.seconds, 3)}
    log.info("weights_loaded", extra={"fields": figures})


def _telling() -> Progress:
    """Log how far a part is, where that takes long: a volume over a network gives 6 GB in a minute."""
    said = time.monotonic()

    def tell(done: int, whole: int) -> None:
        nonlocal said
        if time.monotonic() - said >= TELL_EVERY_S:
            said = time.monotonic()
            log.info("weights_loading", extra={"fields": {"done_mb": done >> 20, "whole_mb": whole >> 20}})

    return tell


def _usual(device: torch.device) -> torch.dtype:
    return torch.float16 if device.type == "cuda" else torch.float32


def _fingerprint(networks: Networks) -> str:
    digest = sha256(f"{_machine(networks.device)} {torch.__version__} {torch.get_num_threads()}".encode())
    for field in fields(networks):
        _digest(getattr(networks, field.name), digest.update)
    return digest.hexdigest()


def _machine(device: torch.device) -> str:
    """What kernels are chosen by: the accelerator, or the CPU's vector instructions."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu {torch.backends.cpu.get_cpu_capability()}"


def _digest(module: nn.Module, update: Callable[[bytes], None]) -> None:
    """Names, types, shapes and a sum of each tensor in float64: reading all files again would take a minute."""
    names, sums = [], []
    for name, tensor in module.state_dict().items():
        names.append(f"{name} {tensor.dtype} {tuple(tensor.shape)}")
        sums.append(tensor.sum(dtype=torch.float64))
    update("\n".join(names).encode())
    update(torch.stack(sums).cpu().numpy().tobytes())


def warm_up(model: Model) -> None:
    """One step of a small clip: the first kernels of a process take seconds, and no user should wait.

    Compiled blocks are compiled for a size, so then it is the usual one, 512 x 512.
    """
    sizes, networks = model.sizes, model.networks
    device, dtype = networks.device, networks.dtype
    frames, side = sizes.unet.frames, 64 if model.switches.compiled else 8
    rows = 1 if model.switches.compiled else BRANCHES
    silence = torch.zeros(sizes.token.tokens, sizes.token.output, device=device, dtype=dtype)
    conditioning = Conditioning(
        portrait=torch.zeros(1, sizes.vae.latent_channels, side, side, device=device, dtype=dtype),
        image=torch.zeros(1, sizes.clip.projection, device=device, dtype=dtype),
        speech=silence.expand(frames, -1, -1),
        silence=silence,
        motion=torch.zeros(frames, 2, device=device),
        mask=None,
    )
    latents = torch.zeros(1, frames, sizes.vae.latent_channels, side, side)
    latents = denoise(
        networks.unet, conditioning, latents, Loop(steps=1, window=frames, rows=rows, switches=model.switches)
    )
    with torch.inference_mode():
        networks.vae.decode(latents[0, :2].to(device), 2)
    torch.cuda.synchronize(device)
