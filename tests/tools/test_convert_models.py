"""The converter's own parts; no package is downloaded here."""

import io
import json
import struct
import tarfile
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from tools.convert_models.__main__ import viseme_head, write_manifest
from tools.convert_models.ctranslate2_model import read_parameters
from tools.convert_models.face_api_68 import read_parameters as read_tfjs
from tools.convert_models.face_detector import anchor_centres
from tools.convert_models.graph import GROUP, GraphWriter, Storage
from tools.convert_models.sources import DigestMismatch, Source, fetch, verified
from tools.convert_models.tflite_graph import same_padding


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pads"),
    [
        ((128, 128), (5, 5), (2, 2), [1, 1, 2, 2]),
        ((16, 16), (3, 3), (1, 1), [1, 1, 1, 1]),
        ((7, 8), (2, 2), (2, 2), [0, 0, 1, 0]),
    ],
)
def test_same_padding(size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], pads: list[int]) -> None:
    assert same_padding(size, kernel, stride) == pads


def test_anchors() -> None:
    anchors = anchor_centres([(16, 2), (8, 6)])
    assert anchors.shape == (896, 2)
    assert np.allclose(anchors[[0, 1, 2]], [[1 / 32, 1 / 32], [1 / 32, 1 / 32], [3 / 32, 1 / 32]])
    assert np.allclose(anchors[512], [1 / 16, 1 / 16])


def text(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def test_ctranslate2_parameters() -> None:
    matrix = np.arange(6, dtype=np.float16).reshape(2, 3)
    vector = np.array([1.5, -2], np.float32)
    data = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, 2)
    for name, array, kind in (("a/weight", matrix, 4), ("a/bias", vector, 0)):
        shape = struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        data += text(name) + shape + struct.pack("<BI", kind, array.nbytes) + array.tobytes()
    parameters = read_parameters(data)
    assert list(parameters) == ["a/weight", "a/bias"]
    assert np.array_equal(parameters["a/weight"], matrix) and parameters["a/weight"].dtype == np.float16
    assert np.array_equal(parameters["a/bias"], vector)


def test_tensorflow_js_parameters() -> None:
    plain = {"name": "a", "shape": [2], "dtype": "float32"}
    codes = {
        "name": "b",
        "shape": [1, 3],
        "dtype": "float32",
        "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1},
    }
    manifest = json.dumps([{"paths": ["w.bin"], "weights": [plain, codes]}]).encode()
    data = np.array([1.5, -2], "<f4").tobytes() + bytes([0, 2, 255])
    parameters = read_tfjs(manifest, data)
    assert parameters["a"].tolist() == [1.5, -2]
    assert parameters["b"].tolist() == [[-1, 0, 126.5]]
    with pytest.raises(ValueError, match="12 bytes, their manifest names 11"):
        read_tfjs(manifest, data + b"\0")


def test_member_of_an_npm_package(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "maker-net-1.2.3.tgz", "w:gz") as archive:
        entry = tarfile.TarInfo("package/w.bin")
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"abc"))
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of b"abc", FIPS 180-2
    assert fetch(Source("@maker/net", "1.2.3", "package/w.bin", sha256, "MIT", index="npm"), tmp_path) == b"abc"


@pytest.mark.parametrize(("storage", "tolerance"), [("half", 1e-3), ("int8", 2e-2)])
def test_weights_survive_their_storage(tmp_path: Path, storage: Storage, tolerance: float) -> None:
    random = np.random.default_rng(0)
    matrix = random.normal(size=(2 * GROUP, 24)).astype(np.float32)
    kernel = random.normal(size=(24, GROUP // 3, 3)).astype(np.float32)
    graph = GraphWriter(storage)
    product = graph.op("MatMul", "x", graph.matrix(matrix))
    graph.op("Identity", product, output="product")
    graph.op("Conv", "signal", graph.kernel(kernel), output="filtered")
    path = tmp_path / "model.onnx"
    inputs = {"x": ["N", 2 * GROUP], "signal": [1, GROUP // 3, 3]}
    graph.save(path, inputs, {"product": ["N", 24], "filtered": [1, 24, 1]}, source="test")  # type: ignore[arg-type]
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    unit = np.eye(2 * GROUP, dtype=np.float32)
    signal = random.normal(size=(1, GROUP // 3, 3)).astype(np.float32)
    product_value, filtered = session.run(["product", "filtered"], {"x": unit, "signal": signal})
    assert np.abs(product_value - matrix).max() <= tolerance * np.abs(matrix).max()
    expected = np.einsum("oik,ik->o", kernel, signal[0])
    assert np.abs(filtered[0, :, 0] - expected).max() <= tolerance * np.abs(expected).max() * 3


def test_writing_is_deterministic(tmp_path: Path) -> None:
    written = []
    for name in ("a", "b"):
        graph = GraphWriter()
        graph.op("Add", "x", graph.constant(np.linspace(0, 1, 100)), output="y")
        path = tmp_path / name / "model.onnx"
        graph.save(path, {"x": ["N", 100]}, {"y": ["N", 100]}, b="2", a="1")
        written.append(path.read_bytes())
    assert written[0] == written[1]


def test_manifest(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"abc")
    assert '"size": 3' in write_manifest(tmp_path)
    assert (tmp_path / "weights.json").read_text() == write_manifest(tmp_path)


def test_unknown_bytes_are_refused() -> None:
    with pytest.raises(DigestMismatch):
        verified(b"abc", "0" * 64, "abc")


def test_viseme_head_is_the_committed_one() -> None:
    head = viseme_head()
    assert sum(value.size for value in head.values()) == 107_488
    assert head["l.weight"].shape == (16, 384)
