"""One frame between the stages."""

import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
"""I420, uint8 [height * 3 / 2, width]: the planes Y, U, V one after the other; width and height are even."""


class DamagedChunk(ValueError):
    """A chunk does not contain frames of the expected size."""
