"""Chooses the detected face to animate."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from shared.messages.codes import Code, Rejected
from stages.face.detector import DetectedFace, intersection_over_union

FaceChoice = Literal["largest"] | int | tuple[float, float, float, float]
FIELD = "params.face"


def choose_face(faces: Sequence[DetectedFace], choice: FaceChoice, width: int, height: int) -> DetectedFace:
    """Choose a face in a picture of ``width`` x ``height`` pixels.

    "largest": the largest central one. A number: position in the order of size, 0 the largest. A box (x0, y0, x1, y1)
    in pixels of the upright picture: the face that overlaps it most and has its centre inside. Raises Rejected: NO_FACE
    when there is no face, FACE_NOT_FOUND when none matches the choice, INVALID_REQUEST for an empty box or one outside
    the picture.
    """
    if not faces:
        raise Rejected(Code.NO_FACE, "No face was found in the portrait.", field="portrait")
    if choice == "largest":
        return max(faces, key=lambda face: prominence(face, width, height))
    if isinstance(choice, int):
        return _by_index(faces, choice)
    return _by_box(faces, choice, width, height)


def prominence(face: DetectedFace, width: int, height: int) -> float:
    """Area x score x centrality; centrality falls from 1 in the middle of the picture to 0.5 in its corners."""
    distance = float(np.linalg.norm((face.centre / (width, height) - 0.5) / np.sqrt(0.5)))
    return face.area * face.score * (1 - 0.5 * min(distance, 1.0))


def _by_index(faces: Sequence[DetectedFace], index: int) -> DetectedFace:
    if index >= len(faces):
        message = f"There is no face {index}: {len(faces)} found in the portrait, counted by size from 0."
        raise Rejected(Code.FACE_NOT_FOUND, message, field=FIELD, allowed=f"0..{len(faces) - 1}")
    return by_size(faces)[index]


def by_size(faces: Sequence[DetectedFace]) -> list[DetectedFace]:
    """The faces in the order in which a request counts them, the largest first."""
    return sorted(faces, key=lambda face: face.area, reverse=True)


def _by_box(
    faces: Sequence[DetectedFace], box: tuple[float, float, float, float], width: int, height: int
) -> DetectedFace:
    x0, y0, x1, y1 = box
    if not (x0 < x1 <= width and y0 < y1 <= height):
        message = "The face box must be x0 < x1, y0 < y1, inside the picture."
        raise Rejected(Code.INVALID_REQUEST, message, field=FIELD, allowed=f"x to {width}, y to {height}")
    requested = np.array(box, np.float64)
    inside = [face for face in faces if np.all(requested[:2] <= face.centre) and np.all(face.centre <= requested[2:])]
    if not inside:
        boxes = ", ".join(str([round(v) for v in face.box.tolist()]) for face in faces[:8])
        message = f"No face has its centre in the requested box; faces found: {boxes}."
        raise Rejected(Code.FACE_NOT_FOUND, message, field=FIELD)
    overlaps = intersection_over_union(requested, np.stack([face.box for face in inside]))
    return inside[int(np.argmax(overlaps))]
