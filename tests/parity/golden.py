"""A configuration with its stored arrays and tolerances."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

INPUTS = ("image", "wave", "face_box")
"""Given, not computed. Noise is given as well, and checked besides."""
STAND_ALONE = ("vae.", "unet.", "rife.")
"""Prefixes of the inputs of stages that belong to no case."""


@dataclass(frozen=True)
class Case:
    """One run of the model: its settings, and the stored arrays of it or of the case whose inputs it shares."""

    name: str
    settings: dict[str, Any]
    golden: "Golden"

    def has(self, array: str) -> bool:
        """Whether the array is stored for this very case."""
        return f"{self.name}.{array}" in self.golden.arrays

    def array(self, name: str) -> NDArray[Any]:
        """Stored array, of this case or of the one it takes its inputs from. Raises KeyError."""
        for case in (self.name, self.settings.get("inputs_of")):
            if f"{case}.{name}" in self.golden.arrays:
                return self.golden.arrays[f"{case}.{name}"]
        raise KeyError(f"{self.name}.{name} is not stored")

    def tensor(self, name: str, dtype: torch.dtype) -> Tensor:
        """The same as a tensor."""
        return torch.from_numpy(self.array(name)).to(dtype)


@dataclass(frozen=True)
class Golden:
    """CONFIG.json, GOLDEN.npz and TOL.json."""

    config: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    tolerances: dict[str, Any]

    @classmethod
    def read(cls, config: Path, golden: Path, tolerances: Path) -> "Golden":
        """From the three files."""
        with np.load(golden) as stored:
            arrays = dict(stored)
        return cls(json.loads(config.read_text()), arrays, json.loads(tolerances.read_text()))

    @cached_property
    def cases(self) -> list[Case]:
        """Every case; stand-alone stages take their inputs from the first."""
        return [Case(name, settings, self) for name, settings in self.config["cases"].items()]

    @property
    def expected(self) -> list[str]:
        """Names of the arrays that must be computed."""
        return [
            name for name in self.arrays if not name.startswith(STAND_ALONE) and name.partition(".")[2] not in INPUTS
        ]

    def tolerance(self, name: str) -> dict[str, Any]:
        """Of an array: keyed by its name without the case, or by the longest beginning that is listed."""
        for key in (name, name.partition(".")[2]):
            while key:
                if key in self.tolerances:
                    tolerance: dict[str, Any] = self.tolerances[key]
                    return tolerance
                key = key.rpartition(".")[0]
        raise KeyError(f"no tolerance is given for {name}")
