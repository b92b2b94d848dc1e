"""The worst difference of an array in units of its tolerance."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Row:
    """One comparison. worst: largest |difference| / tolerance, at most 1 if it holds; inf if it can't be made."""

    array: str
    precision: str
    run: str
    """``stage``: from the stored inputs of that stage; ``chain``: from picture, sound, box and noise."""
    variant: str
    """``plain`` as published, or the optimizations that were on."""
    worst: float
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the difference is within tolerance."""
        return self.worst <= 1


def worst_difference(actual: Tensor, stored: NDArray[Any], tolerance: dict[str, Any], precision: str) -> float:
    """|difference| / tolerance at its largest; NaN or another shape count as infinite.

    A tolerance is a number, ``{"rel": r}``, or a list: one for the first entry, one for the later ones. 0 means equal.
    ``min_equal_fraction`` bounds from below how many values are equal.
    """
    allowed = tolerance.get("f64", tolerance["f32"]) if precision == "fp64" else tolerance["f32"]
    ours = actual.detach().cpu().double().numpy()
    theirs = stored.astype(np.float64)
    if ours.shape != theirs.shape:
        return float("inf")
    difference = np.abs(ours - theirs)
    if not np.isfinite(difference).all():
        return float("inf")
    if isinstance(allowed, list):
        first = float(difference[:1].max(initial=0.0)) / allowed[0]
        worst = max(first, float(difference[1:].max(initial=0.0)) / allowed[1])
    elif isinstance(allowed, dict):
        bound = allowed["rel"] * np.abs(theirs)
        worst = float(np.divide(difference, bound, out=np.where(difference > 0, np.inf, 0.0), where=bound > 0).max())
    elif allowed == 0:
        worst = 0.0 if not difference.any() else float("inf")
    else:
        worst = float(difference.max(initial=0.0)) / allowed
    if fraction := tolerance.get("min_equal_fraction"):
        worst = max(worst, (1 - float((difference == 0).mean())) / (1 - fraction))
    return worst
