"""Whether a face can be animated, and what the user should know about it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from shared.messages.codes import Code, Rejected
from stages.face.landmarks import FaceMesh
from stages.face.occlusion import mouth_is_occluded

MIN_WIDTH = 32
"""Pixels of face width in the source: less does not hold a mouth."""
LOW_WIDTH = 64
MAX_YAW = 0.9
STRONG_YAW = 0.6
# Corners of the eyes, then corners and middle of the mouth.
_MOVED = [33, 133, 362, 263, 61, 291, 13, 14]
LOW_SCORE = 0.6
LOW_MESH_SCORE = 0.5


def require_usable(mesh: FaceMesh) -> None:
    """Raises Rejected: FACE_TOO_SMALL, EXTREME_POSE."""
    width = face_width(mesh)
    if width < MIN_WIDTH:
        message = f"The face is only {width:.0f} pixels wide."
        raise Rejected(Code.FACE_TOO_SMALL, message, field="portrait", allowed=f"at least {MIN_WIDTH} pixels")
    if abs(mesh.yaw) > MAX_YAW:
        message = "The face is turned into profile: one side of the mouth can't be seen."
        raise Rejected(Code.EXTREME_POSE, message, field="portrait", allowed="frontal to three-quarter views")


def require_frame(points: NDArray[np.float64], width: int, height: int) -> None:
    """Landmarks [478, 3] in the pixels of a video frame of that size.

    Raises Rejected: FACE_TOO_SMALL (a large picture of a small face shrinks it further), FACE_CUT_OFF (the model draws
    the rest of a cut face outside the picture, where no eye or mouth can be moved).
    """
    moved = points[_MOVED, :2]
    if moved.min() < 0 or (moved > (width - 1, height - 1)).any():
        message = "The edge of the picture cuts the face off: both eyes and the whole mouth must be in it."
        raise Rejected(Code.FACE_CUT_OFF, message, field="portrait", allowed="eyes and mouth inside the picture")
    face = float(np.ptp(points[:, :2], axis=0).min())
    if face < MIN_WIDTH:
        message = f"In the video the face would be only {face:.0f} pixels wide; ask for params.framing face."
        raise Rejected(Code.FACE_TOO_SMALL, message, field="portrait", allowed=f"at least {MIN_WIDTH} pixels")


def weaknesses(mesh: FaceMesh, detection_score: float, face_count: int) -> Iterator[tuple[Code, str]]:
    """Warnings: the job goes on. `face_count` counts faces nobody has chosen between: 1 when the request names one."""
    if face_count > 1:
        yield Code.MULTIPLE_FACES, f"{face_count} faces found; the largest central one speaks. Choose with params.face."
    width = face_width(mesh)
    if width < LOW_WIDTH:
        yield Code.LOW_RESOLUTION, f"The face is only {width:.0f} pixels wide; the video will look soft."
    if abs(mesh.yaw) > STRONG_YAW:
        yield Code.EXTREME_POSE, "The face is turned far to the side; the mouth may look distorted."
    if detection_score < LOW_SCORE or mesh.score < LOW_MESH_SCORE:
        yield Code.LOW_CONFIDENCE_FACE, "The face was found with little confidence; check the result."


def occlusion(image: NDArray[np.uint8], mesh: FaceMesh) -> Iterator[tuple[Code, str]]:
    """A warning where the mouth of `image` [H, W, 3] RGB can't be seen."""
    if mouth_is_occluded(image, mesh):
        message = "Something seems to stand before the mouth; the engine would move what it sees there."
        yield Code.OCCLUDED_MOUTH, message


def face_width(mesh: FaceMesh) -> float:
    """Pixels: the shorter side of the upright box, so a face that lies on its side is not measured by its length."""
    x0, y0, x1, y1 = mesh.box
    return min(x1 - x0, y1 - y0)
