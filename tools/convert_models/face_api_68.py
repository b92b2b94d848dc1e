"""face-api's net of 68 landmarks: four dense blocks of separable convolutions, and one matrix."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.convert_models.graph import GraphWriter
from tools.convert_models.tflite_graph import same_padding

SIDE = 112
POINTS = 68
# Mean colour of the pictures that it was trained on, RGB 0..255.
_MEAN = (122.782, 117.001, 104.298)
_BLOCKS = ("dense0", "dense1", "dense2", "dense3")
_KERNEL = (3, 3)

Parameters = dict[str, NDArray[np.float32]]


def convert_landmarks(manifest: bytes, data: bytes, path: Path, **metadata: str) -> None:
    """Write the net as ONNX.

    Input ``image`` [N, 112, 112, 3] float32 RGB 0..255, a crop of a face. Output ``landmarks`` [N, 68, 2] (x, y) in the
    unit square of the crop, in the order of iBUG 300-W.
    """
    graph = GraphWriter()
    net = _Net(graph, read_parameters(manifest, data))
    pixels = graph.op("Div", graph.op("Sub", "image", graph.exact(_MEAN)), graph.exact(255.0))
    x, side = graph.op("Transpose", pixels, perm=[0, 3, 1, 2]), SIDE
    for block in _BLOCKS:
        x, side = net.block(x, block, side)
    pooled = graph.op("AveragePool", x, kernel_shape=[side, side])
    flat = graph.op("Reshape", pooled, graph.ints(0, -1))
    points = graph.op("Add", graph.op("MatMul", flat, net.matrix("fc/weights")), net.vector("fc/bias"))
    graph.op("Reshape", points, graph.ints(0, POINTS, 2), output="landmarks")
    graph.save(path, {"image": ["N", SIDE, SIDE, 3]}, {"landmarks": ["N", POINTS, 2]}, **metadata)


def read_parameters(manifest: bytes, data: bytes) -> Parameters:
    """Arrays by name from a weights manifest of TensorFlow.js and its one binary file.

    Raises ValueError when the file holds more or less than the manifest names.
    """
    parameters, offset = {}, 0
    for entry in (entry for group in json.loads(manifest) for entry in group["weights"]):
        codes = entry.get("quantization", {"dtype": entry["dtype"], "scale": 1.0, "min": 0.0})
        dtype, count = np.dtype(codes["dtype"]), int(np.prod(entry["shape"], dtype=np.int64))
        values = np.frombuffer(data, dtype, count, offset).astype(np.float32)
        parameters[entry["name"]] = (values * codes["scale"] + codes["min"]).astype(np.float32).reshape(entry["shape"])
        offset += count * dtype.itemsize
    if offset != len(data):
        raise ValueError(f"the weights have {len(data)} bytes, their manifest names {offset}")
    return parameters


class _Net:
    """Emits the net's parts; images are NCHW."""

    def __init__(self, graph: GraphWriter, parameters: Parameters) -> None:
        self._graph = graph
        self._parameters = parameters

    def block(self, x: str, name: str, side: int) -> tuple[str, int]:
        """Four convolutions, the first of which halves the side; each later one sees the sum of all before it."""
        first = self._full if f"{name}/conv0/filters" in self._parameters else self._separable
        total = self._relu(first(x, f"{name}/conv0", side, 2))
        side = -(-side // 2)
        terms = [total]
        for number in (1, 2, 3):
            terms.append(self._separable(total, f"{name}/conv{number}", side, 1))
            total = self._relu(self._sum(terms))
        return total, side

    def matrix(self, name: str) -> str:
        return self._graph.matrix(self._parameters[name])

    def vector(self, name: str) -> str:
        return self._graph.constant(self._parameters[name])

    def _full(self, x: str, name: str, side: int, stride: int) -> str:
        kernel = self._parameters[f"{name}/filters"].transpose(3, 2, 0, 1)
        return self._convolution(x, kernel, side, stride, self.vector(f"{name}/bias"))

    def _separable(self, x: str, name: str, side: int, stride: int) -> str:
        depthwise = self._parameters[f"{name}/depthwise_filter"].transpose(2, 3, 0, 1)
        pointwise = self._parameters[f"{name}/pointwise_filter"].transpose(3, 2, 0, 1)
        spread = self._convolution(x, depthwise, side, stride, groups=len(depthwise))
        return self._graph.op("Conv", spread, self._graph.kernel(pointwise), self.vector(f"{name}/bias"))

    def _convolution(
        self, x: str, kernel: NDArray[np.float32], side: int, stride: int, *bias: str, groups: int = 1
    ) -> str:
        attributes: dict[str, Any] = {"strides": [stride, stride], "group": groups}
        attributes["pads"] = same_padding((side, side), _KERNEL, (stride, stride))
        return self._graph.op("Conv", x, self._graph.kernel(kernel), *bias, kernel_shape=list(_KERNEL), **attributes)

    def _relu(self, x: str) -> str:
        return self._graph.op("Relu", x)

    def _sum(self, terms: list[str]) -> str:
        return self._graph.op("Sum", *terms)
