"""Rejections and warnings about the quality of the chosen face."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from shared.messages.codes import Code, Rejected
from stages.face.landmarks import FaceMesh
from stages.face.occlusion import mouth_is_occluded
from stages.face.roll import LocatedFace, quarter_turns

MIN_WIDTH = 32
"""Pixels of face width in the source: a mouth needs as many."""
LOW_WIDTH = 64
MAX_YAW = 0.9
STRONG_YAW = 0.6
# Corners of the eyes, then corners and middle of the mouth: the points that the animation moves.
_ANIMATED = [33, 133, 362, 263, 61, 291, 13, 14]
LOW_SCORE = 0.6
LOW_MESH_SCORE = 0.5


_TURNED = {
    1: "The portrait lay on its side and was turned by 90 degrees counter-clockwise.",
    2: "The portrait was upside down and was turned by 180 degrees.",
    3: "The portrait lay on its side and was turned by 90 degrees clockwise.",
}


def require_upright(located: LocatedFace) -> None:
    """Check that it is certain how to turn the picture. Raises Rejected: ROTATED_PORTRAIT."""
    if quarter_turns(located.mesh.roll) and not located.roll_is_certain:
        message = "The portrait seems to lie on its side or upside down. Turn it upright and save it."
        raise Rejected(Code.ROTATED_PORTRAIT, message, field="portrait", allowed="upright portraits")


def require_usable(mesh: FaceMesh) -> None:
    """Check the face in the source. Raises Rejected: FACE_TOO_SMALL, EXTREME_POSE."""
    width = face_width(mesh)
    if width < MIN_WIDTH:
        message = f"The face is only {width:.0f} pixels wide."
        raise Rejected(Code.FACE_TOO_SMALL, message, field="portrait", allowed=f"at least {MIN_WIDTH} pixels")
    if abs(mesh.yaw) > MAX_YAW:
        message = "The face is turned into profile: one side of the mouth can't be seen."
        raise Rejected(Code.EXTREME_POSE, message, field="portrait", allowed="frontal to three-quarter views")


def require_frame(points: NDArray[np.float64], width: int, height: int) -> None:
    """Check landmarks [478, 3] in pixels of a video frame of ``width`` x ``height``.

    Raises Rejected: FACE_TOO_SMALL (a large picture with a small face is reduced further), FACE_CUT_OFF (the network
    predicts the missing part of a face outside the picture, where no eye or mouth can be animated).
    """
    animated = points[_ANIMATED, :2]
    if animated.min() < 0 or (animated > (width - 1, height - 1)).any():
        message = "The edge of the picture cuts the face off: both eyes and the whole mouth must be in it."
        raise Rejected(Code.FACE_CUT_OFF, message, field="portrait", allowed="eyes and mouth inside the picture")
    face = float(np.ptp(points[:, :2], axis=0).min())
    if face < MIN_WIDTH:
        message = f"In the video the face would be only {face:.0f} pixels wide; ask for params.framing face."
        raise Rejected(Code.FACE_TOO_SMALL, message, field="portrait", allowed=f"at least {MIN_WIDTH} pixels")


def quality_warnings(mesh: FaceMesh, detection_score: float, face_count: int) -> Iterator[tuple[Code, str]]:
    """Warnings about a weak face; the job continues.

    mesh: in the source; detection_score: 0..1; face_count: faces to choose from, 1 when the request names one.
    """
    if face_count > 1:
        yield Code.MULTIPLE_FACES, f"{face_count} faces found; the largest central one speaks. Choose with params.face."
    width = face_width(mesh)
    if width < LOW_WIDTH:
        yield Code.LOW_RESOLUTION, f"The face is only {width:.0f} pixels wide; the video will look soft."
    if abs(mesh.yaw) > STRONG_YAW:
        yield Code.EXTREME_POSE, "The face is turned far to the side; the mouth may look distorted."
    if detection_score < LOW_SCORE or mesh.score < LOW_MESH_SCORE:
        yield Code.LOW_CONFIDENCE_FACE, "The face was found with little confidence; check the result."


def roll_warnings(located: LocatedFace) -> Iterator[tuple[Code, str]]:
    """A warning when the picture is turned upright, or when it is not certain which way up the face is."""
    turns = quarter_turns(located.mesh.roll)
    if turns:
        yield Code.ROTATED_PORTRAIT, f"{_TURNED[turns]} Save it upright if the video shows it the wrong way up."
    elif not located.roll_is_certain:
        message = "It is not certain which way up the face is; check the result, and turn the portrait upright."
        yield Code.LOW_CONFIDENCE_FACE, message


def occlusion_warnings(image: NDArray[np.uint8], mesh: FaceMesh) -> Iterator[tuple[Code, str]]:
    """A warning when the mouth in ``image`` [H, W, 3] RGB is occluded."""
    if mouth_is_occluded(image, mesh):
        message = "Something seems to cover the mouth; the engine would animate what covers it."
        yield Code.OCCLUDED_MOUTH, message


def face_width(mesh: FaceMesh) -> float:
    """The shorter side of the upright box in pixels, so that a face on its side is not measured by its length."""
    x0, y0, x1, y1 = mesh.box
    return min(x1 - x0, y1 - y0)
