"""The committed models: unaltered, as documented, and the same at every optimisation level of the runtime."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from PIL import Image

from shared.slot.weights import WeightsAltered, read_weights
from tools.convert_models import sources
from tools.convert_models.sources import Source

ROOT = Path(__file__).parents[2]
AUDIO = ROOT / "stages/audio/weights"
FACE = ROOT / "stages/face/weights"
DETECTORS = ROOT / "shared/slot/detectors"
VISEMES = ROOT / "stages/infer/puppet/weights"
EVALUATION = ROOT / "stages/encode/evaluation/weights"
MODELS = [
    *(DETECTORS / f"face_{kind}.onnx" for kind in ("short", "full")),
    FACE / "face_landmarks.onnx",
    VISEMES / "visemes.onnx",
    EVALUATION / "landmarks_68.onnx",
]
ACTIVITY = AUDIO / "speech_activity.onnx"

Array = NDArray[np.float32]


def face_crop(side: int, low: float, box: tuple[int, int, int, int] = (130, 30, 322, 222)) -> Array:
    crop = Image.open(ROOT / "samples/portrait.png").convert("RGB").crop(box).resize((side, side))
    return (np.asarray(crop, np.float32)[None] / 255 * (1 - low) + low).astype(np.float32)


INPUTS: dict[str, Callable[[], dict[str, Array]]] = {
    "face_short.onnx": lambda: {"image": face_crop(128, -1)},
    "face_full.onnx": lambda: {"image": face_crop(192, -1)},
    "face_landmarks.onnx": lambda: {"image": face_crop(192, 0)},
    "landmarks_68.onnx": lambda: {"image": 255 * face_crop(112, 0, (170, 65, 280, 185))},
    "visemes.onnx": lambda: {"mel": np.random.default_rng(0).normal(0, 0.5, (1, 80, 200)).astype(np.float32)},
    "speech_activity.onnx": lambda: {
        "input": np.random.default_rng(0).normal(0, 0.1, (20, 576)).astype(np.float32),
        **{name: np.zeros((1, 1, 128), np.float32) for name in "hc"},
    },
}
OUTPUTS = {
    "face_short.onnx": {"boxes": (1, 896, 8, 2), "scores": (1, 896)},
    "face_full.onnx": {"boxes": (1, 2304, 8, 2), "scores": (1, 2304)},
    "face_landmarks.onnx": {"landmarks": (1, 478, 3), "score": (1, 1)},
    "landmarks_68.onnx": {"landmarks": (1, 68, 2)},
    "visemes.onnx": {"features": (1, 100, 384), "visemes": (1, 100, 15), "opening": (1, 100, 1)},
    "speech_activity.onnx": {"speech_probs": (20,), "hn": (1, 1, 128), "cn": (1, 1, 128)},
}
LEVELS = ort.GraphOptimizationLevel


def run(path: Path, inputs: dict[str, Array], level: int = LEVELS.ORT_ENABLE_ALL) -> dict[str, Array]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = level
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return dict(zip((o.name for o in session.get_outputs()), session.run(None, inputs), strict=True))


@pytest.mark.parametrize("path", [*MODELS, ACTIVITY], ids=lambda p: p.name)
def test_optimisation_changes_nothing(path: Path) -> None:
    inputs = INPUTS[path.name]()
    plain, optimised = run(path, inputs, LEVELS.ORT_DISABLE_ALL), run(path, inputs)
    assert {name: value.shape for name, value in plain.items()} == OUTPUTS[path.name]
    for name, value in plain.items():
        assert np.isfinite(value).all()
        assert np.abs(value - optimised[name]).max() <= 1e-3, name


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.name)
def test_batch_dimension_is_free(path: Path) -> None:
    inputs = INPUTS[path.name]()
    three = run(path, {name: np.repeat(value, 3, axis=0) for name, value in inputs.items()})
    for name, value in run(path, inputs).items():
        assert np.abs(three[name] - value).max() <= 1e-3


def test_models_see_the_face() -> None:
    assert run(DETECTORS / "face_short.onnx", INPUTS["face_short.onnx"]())["scores"].max() > 0.8
    assert run(DETECTORS / "face_full.onnx", INPUTS["face_full.onnx"]())["scores"].max() > 0.7
    assert run(FACE / "face_landmarks.onnx", INPUTS["face_landmarks.onnx"]())["score"][0, 0] > 0.99
    nothing = {"image": np.zeros((1, 192, 192, 3), np.float32)}
    assert run(FACE / "face_landmarks.onnx", nothing)["score"][0, 0] < 0.1


def test_landmarks_lie_on_the_face() -> None:
    result = run(EVALUATION / "landmarks_68.onnx", INPUTS["landmarks_68.onnx"]())
    (points,) = result["landmarks"] * (110, 120) + (170, 65)
    # Outer corners of the eyes, tip of the nose, corners of the mouth, measured by hand on an enlarged picture.
    for index, (x, y) in {36: (192, 102), 45: (258, 106), 30: (224, 126), 48: (203, 140), 54: (243, 141)}.items():
        assert np.hypot(*(points[index] - (x, y))) < 6.6, "a tenth of the distance between the eyes"


def test_visemes_are_probabilities() -> None:
    visemes = run(VISEMES / "visemes.onnx", INPUTS["visemes.onnx"]())["visemes"]
    assert visemes.min() >= 0
    assert np.allclose(visemes.sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.name)
def test_structure(path: Path) -> None:
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 9
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 20)]
    names = [node.name for node in model.graph.node]
    assert all(names) and len(set(names)) == len(names)
    metadata = {p.key: p.value for p in model.metadata_props}
    assert set(metadata) == {"source", "source_sha256", "license"}


def test_speech_activity_is_as_published() -> None:
    assert hashlib.sha256(ACTIVITY.read_bytes()).hexdigest() == sources.SPEECH_ACTIVITY.sha256


@pytest.mark.parametrize("source", [s for s in vars(sources).values() if isinstance(s, Source)], ids=lambda s: s.member)
def test_notice_names_every_source(source: Source) -> None:
    notice = (ROOT / "NOTICE").read_text()
    assert f"{source.package} {source.version}" in notice
    assert source.sha256 in notice


@pytest.mark.parametrize(
    "folder", [AUDIO, DETECTORS, FACE, VISEMES, EVALUATION], ids=lambda p: str(p.relative_to(ROOT))
)
def test_manifest_names_every_file(folder: Path) -> None:
    manifest = json.loads((folder / "weights.json").read_text())
    assert set(manifest) == {path.name for path in folder.glob("*.onnx")}
    for name, entry in manifest.items():
        data = read_weights(folder, name)
        assert entry == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_altered_weights_are_refused(tmp_path: Path) -> None:
    data = bytearray((DETECTORS / "face_short.onnx").read_bytes())
    data[1000] ^= 1
    (tmp_path / "face_short.onnx").write_bytes(data)
    (tmp_path / "other.onnx").write_bytes(data)
    (tmp_path / "weights.json").write_bytes((DETECTORS / "weights.json").read_bytes())
    for name in ("face_short.onnx", "other.onnx"):
        with pytest.raises(WeightsAltered):
            read_weights(tmp_path, name)
    with pytest.raises(FileNotFoundError):
        read_weights(tmp_path, "face_full.onnx")
