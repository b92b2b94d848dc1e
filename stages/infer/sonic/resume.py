"""Latents on disk, so that a killed render goes on where it was: what they are of, how often they are written."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

SHARE = 0.01
"""Part of the work's time that saving may take."""
LONGEST_S = 60.0
"""So much work may be lost at most, beside the step that runs."""
FORMAT = "lipstage-sonic-latents-1"


def write(path: Path, latents: Tensor, step: int, fingerprint: str) -> None:
    """Save latents after ``step`` steps; ``fingerprint`` is of all that decides their numbers."""
    metadata = {"format": FORMAT, "step": str(step), "fingerprint": fingerprint}
    save_file({"latents": latents.contiguous()}, path, metadata)


def read(path: Path, like: Tensor, steps: int, fingerprint: str) -> tuple[int, Tensor] | None:
    """Step and latents of a file, when it is of the same render on an equal machine; None when it is anything else."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT or metadata.get("fingerprint") != fingerprint:
                return None
            step, latents = int(metadata["step"]), file.get_tensor("latents")
    except (SafetensorError, OSError, KeyError, ValueError):
        return None
    fits = latents.shape == like.shape and latents.dtype == like.dtype and 0 < step <= steps
    return (step, latents) if fits and bool(torch.isfinite(latents).all()) else None


class Cadence:
    """After which steps to save: as seldom as keeps the cost under its share, and never later than ``LONGEST_S``.

    The first step is always saved, which measures the cost; the last one too: decoding may be interrupted as well.
    """

    def __init__(self, steps: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._steps = steps
        self._clock = clock
        self._cost = 0.0
        self._saved_at = clock()
        self._first = True

    def due(self, step: int) -> bool:
        """Whether to save after this step."""
        worked = self._clock() - self._saved_at
        return self._first or step == self._steps or worked >= min(LONGEST_S, self._cost / SHARE)

    def saved(self, seconds: float) -> None:
        """One was saved, and took that long."""
        self._cost = seconds if self._first else max(self._cost, seconds)
        self._first = False
        self._saved_at = self._clock()
