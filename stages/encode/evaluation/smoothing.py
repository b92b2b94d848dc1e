"""A low-pass filter for tracks."""

import numpy as np
from numpy.typing import NDArray


def smooth(track: NDArray[np.floating], sigma: float) -> NDArray[np.float64]:
    """Gaussian low-pass of [n], sigma in samples; the end values are repeated beyond the ends."""
    radius = int(4 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    padded = np.pad(np.asarray(track, np.float64), radius, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), "valid")
