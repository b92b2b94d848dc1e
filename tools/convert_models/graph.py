"""A small ONNX graph writer: standard operators of opset 20, names on every node, compact storage of weights."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
# Set by hand: the onnx package stamps its newest, which older runtimes refuse.
IR_VERSION = 9
# Divides every matrix and kernel of the Whisper encoder.
GROUP = 48
# Constants below this many elements stay float32: half precision would save nothing.
SMALL = 64

Storage = Literal["half", "int8"]
Shape = list[int | str]


class GraphWriter:
    """Collects nodes and initialisers; values are named by strings, as in ONNX itself.

    storage "half": weights as float16 with a Cast. "int8": matrices as int8 groups of 48 inputs with one float16 scale
    per group and output channel, written as Cast * scale. Both are folded to float32 when a runtime loads the file, so
    no reduced-precision kernel is involved (DequantizeLinear would quantise activations too).
    """

    def __init__(self, storage: Storage = "half") -> None:
        self.storage = storage
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._count = 0

    def op(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Append an operator with one output and return the output's name; "" in ``inputs`` omits an optional one."""
        output = output or self._unique(kind.lower())
        self._append(kind, inputs, [output], attributes)
        return output

    def split(self, value: str, parts: int, axis: int) -> list[str]:
        """Cut ``value`` into ``parts`` equal pieces along ``axis``."""
        outputs = [self._unique("part") for _ in range(parts)]
        self._append("Split", (value,), outputs, {"axis": axis, "num_outputs": parts})
        return outputs

    def ints(self, *values: int) -> str:
        """A one-dimensional int64 constant (axes, shapes, indices)."""
        return self._initializer(np.asarray(values, np.int64))

    def scalar(self, value: int) -> str:
        """An int64 constant without dimensions."""
        return self._initializer(np.asarray(value, np.int64))

    def exact(self, values: ArrayLike) -> str:
        """A float32 constant stored as such."""
        return self._initializer(np.asarray(values, np.float32))

    def constant(self, values: ArrayLike) -> str:
        """A float32 constant, stored as float16 when it is large."""
        array = np.asarray(values, np.float32)
        return self.exact(array) if array.size < SMALL else self._as_float(array.astype(np.float16))

    def matrix(self, weight: NDArray[np.floating[Any]]) -> str:
        """A weight [inputs, outputs]."""
        weight = np.asarray(weight, np.float32)
        rows, outputs = weight.shape
        if self.storage != "int8" or rows % GROUP:
            return self.constant(weight)
        return self.op("Reshape", self._grouped(weight.reshape(-1, GROUP, outputs)), self.ints(rows, outputs))

    def kernel(self, weight: NDArray[np.floating[Any]]) -> str:
        """A convolution weight [outputs, inputs, ...], as ONNX has it."""
        weight = np.asarray(weight, np.float32)
        outputs, fan_in = weight.shape[0], weight[0].size
        if self.storage != "int8" or fan_in % GROUP:
            return self.constant(weight)
        groups = self._grouped(np.ascontiguousarray(weight.reshape(outputs, -1).T).reshape(-1, GROUP, outputs))
        rows = self.op("Reshape", groups, self.ints(fan_in, outputs))
        return self.op("Reshape", self.op("Transpose", rows, perm=[1, 0]), self.ints(*weight.shape))

    def save(self, path: Path, inputs: dict[str, Shape], outputs: dict[str, Shape], **metadata: str) -> None:
        """Check the model and write it; dimensions given as strings are free."""
        graph = helper.make_graph(self._nodes, path.stem, _infos(inputs), _infos(outputs), self._initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model.SerializeToString(deterministic=True))

    def _grouped(self, groups: NDArray[np.float32]) -> str:
        """Quantise [groups, GROUP, outputs] symmetrically to int8, one scale per group and output."""
        peak = np.maximum(np.abs(groups).max(axis=1, keepdims=True), 1e-6)
        scale = (peak / 127).astype(np.float16)
        codes = np.clip(np.round(groups / scale.astype(np.float32)), -127, 127).astype(np.int8)
        return self.op("Mul", self._as_float(codes), self._as_float(scale))

    def _as_float(self, array: NDArray[Any]) -> str:
        return self.op("Cast", self._initializer(array), to=TensorProto.FLOAT)

    def _initializer(self, array: NDArray[Any]) -> str:
        name = self._unique("constant")
        self._initializers.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name

    def _append(self, kind: str, inputs: tuple[str, ...], outputs: list[str], attributes: dict[str, Any]) -> None:
        # Unnamed nodes make a fusion of onnxruntime 1.20 fail.
        self._nodes.append(helper.make_node(kind, list(inputs), outputs, name=f"node_{outputs[0]}", **attributes))

    def _unique(self, hint: str) -> str:
        self._count += 1
        return f"{hint}_{self._count}"


def _infos(shapes: dict[str, Shape]) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
