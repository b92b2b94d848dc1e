"""Checkpoints of a render: its latents in a file, so that the next attempt resumes, and how often they are saved."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

MAX_SHARE = 0.01
"""Share of the render's time that saving may take."""
MAX_INTERVAL_S = 60.0
"""Longest time between two checkpoints, beside the step that runs."""
FORMAT = "lipstage-sonic-latents-1"


def write_checkpoint(path: Path, latents: Tensor, step: int, fingerprint: str) -> None:
    """Store latents after ``step`` steps; ``fingerprint`` identifies everything that determines their values."""
    metadata = {"format": FORMAT, "step": str(step), "fingerprint": fingerprint}
    save_file({"latents": latents.contiguous()}, path, metadata)


def read_checkpoint(path: Path, like: Tensor, steps: int, fingerprint: str) -> tuple[int, Tensor] | None:
    """Step and latents of a checkpoint of the same render on an equal machine; None for any other file."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT or metadata.get("fingerprint") != fingerprint:
                return None
            step, latents = int(metadata["step"]), file.get_tensor("latents")
    except (SafetensorError, OSError, KeyError, ValueError):
        return None
    matches = latents.shape == like.shape and latents.dtype == like.dtype and 0 < step <= steps
    return (step, latents) if matches and bool(torch.isfinite(latents).all()) else None


class CheckpointSchedule:
    """Decides after which steps to save: so seldom that the cost stays under its share, but once a minute at least.

    The first step is always saved, which measures the cost, and the last one, because decoding may be interrupted too.
    """

    def __init__(self, steps: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._steps = steps
        self._clock = clock
        self._cost = 0.0
        self._saved_at = clock()
        self._first = True

    def is_due(self, step: int) -> bool:
        """Whether to save after this step."""
        elapsed = self._clock() - self._saved_at
        return self._first or step == self._steps or elapsed >= min(MAX_INTERVAL_S, self._cost / MAX_SHARE)

    def record_saved(self, seconds: float) -> None:
        """Record that a checkpoint was saved in that many seconds."""
        self._cost = seconds if self._first else max(self._cost, seconds)
        self._first = False
        self._saved_at = self._clock()
