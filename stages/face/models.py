"""The stage's networks, loaded once per process."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from shared.slot.weights import FACE_DETECTORS, read_weights
from stages.face.detector import BlazeFace, DetectedFace
from stages.face.landmarks import LandmarkModel
from stages.face.roll import FaceLocator
from stages.face.search import FaceSearch

WEIGHTS = Path(__file__).with_name("weights")
_MIN_MESH_SCORE = 0.9


@dataclass(frozen=True)
class FaceModels:
    """The detectors and the landmark network."""

    search: FaceSearch
    landmarks: LandmarkModel
    locator: FaceLocator


def load_models() -> FaceModels:
    """Load the shipped weights. Raises shared.slot.weights.WeightsAltered when they are not the committed ones."""
    landmarks = LandmarkModel(_session(WEIGHTS, "face_landmarks.onnx"))

    def is_face(image: NDArray[np.uint8], face: DetectedFace) -> bool:
        return landmarks.locate(image, face).score >= _MIN_MESH_SCORE

    full_range, short_range = (BlazeFace(_session(FACE_DETECTORS, f"face_{name}.onnx")) for name in ("full", "short"))
    search = FaceSearch(full_range, short_range, is_face)
    return FaceModels(search, landmarks, FaceLocator(full_range, landmarks))


def _session(folder: Path, name: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # One thread each: replicas and slots use the other cores, and sums keep their order.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(read_weights(folder, name), options, providers=["CPUExecutionProvider"])
