"""RGB frames as planar YUV 4:2:0, the form an H.264 encoder takes.

Colour: ITU-R BT.601 coefficients in limited range (luma 16..235, chroma 16..240), what OpenCV's RGB to I420 conversion
computes; the encode stage tags the stream so. OpenCV takes every chroma sample from the top left pixel of its four,
which makes coloured edges crawl; here it is their mean.
"""

import cv2
import numpy as np
import numpy.typing as npt

from stages.infer.engine import Frame

# 224/255 of the analog U and V of BT.601 (Kr 0.299, Kb 0.114).
_CHROMA = np.array(
    [
        [-0.148223, -0.290993, 0.439216, 128.0],
        [0.439216, -0.367788, -0.071427, 128.0],
    ]
)


def to_i420(rgb: Frame) -> npt.NDArray[np.uint8]:
    """uint8 [H, W, 3] RGB with even H and W to uint8 [H * 3 / 2, W]: the planes Y, U, V one after the other."""
    height, width = rgb.shape[:2]
    out = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), np.uint8)
    quarter = cv2.resize(rgb, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    chroma = np.asarray(cv2.transform(quarter, _CHROMA), np.uint8)
    planes = out[height:].reshape(2, height // 2, width // 2)
    planes[0], planes[1] = chroma[..., 0], chroma[..., 1]
    return out
