"""Reads a .tflite flatbuffer: constants, shapes and operators in execution order."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tflite
from flatbuffers import flexbuffers
from numpy.typing import NDArray

_BUILTIN_NAMES = {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
_DTYPES = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.INT32: np.int32,
}
_OPTIONS: dict[str, Any] = {
    "CONV_2D": tflite.Conv2DOptions,
    "DEPTHWISE_CONV_2D": tflite.DepthwiseConv2DOptions,
    "MAX_POOL_2D": tflite.Pool2DOptions,
    "ADD": tflite.AddOptions,
    "MUL": tflite.MulOptions,
    "CONCATENATION": tflite.ConcatenationOptions,
    "RESIZE_BILINEAR": tflite.ResizeBilinearOptions,
}


@dataclass(frozen=True)
class Operator:
    """One operator: ``options`` is its flatbuffer table, for a custom operator the dictionary of its parameters."""

    name: str
    inputs: list[int]
    output: int
    options: Any

    @property
    def has_fused_relu(self) -> bool:
        activation = getattr(self.options, "FusedActivationFunction", None)
        return activation is not None and activation() == tflite.ActivationFunctionType.RELU


class TfliteModel:
    """The first subgraph of a model; tensors are numbered as in the file."""

    def __init__(self, data: bytes) -> None:
        self._model = tflite.Model.GetRootAsModel(data, 0)
        self._graph = self._model.Subgraphs(0)
        self.input: int = self._graph.Inputs(0)
        self.outputs = {self._name(i): i for i in map(self._graph.Outputs, range(self._graph.OutputsLength()))}
        self.constants: dict[int, NDArray[Any]] = dict(self._read_constants())

    def shape(self, tensor: int) -> list[int]:
        """Dimensions of a tensor, batch first; [] for a scalar."""
        table = self._graph.Tensors(tensor)
        return [int(n) for n in table.ShapeAsNumpy()] if table.ShapeLength() else []

    def operators(self) -> Iterator[Operator]:
        """All operators in the order of execution."""
        for position in range(self._graph.OperatorsLength()):
            table = self._graph.Operators(position)
            code = self._model.OperatorCodes(table.OpcodeIndex())
            # Codes below 127 are in the older of the two fields.
            builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            custom = builtin == tflite.BuiltinOperator.CUSTOM
            name = code.CustomCode().decode() if custom else _BUILTIN_NAMES[builtin]
            options = _custom_options(table) if custom else _builtin_options(name, table)
            yield Operator(name, [table.Inputs(i) for i in range(table.InputsLength())], table.Outputs(0), options)

    def _read_constants(self) -> Iterator[tuple[int, NDArray[Any]]]:
        for i in range(self._graph.TensorsLength()):
            table = self._graph.Tensors(i)
            buffer = self._model.Buffers(table.Buffer())
            if buffer.DataLength():
                flat = np.frombuffer(buffer.DataAsNumpy().tobytes(), _DTYPES[table.Type()])
                yield i, flat.reshape(self.shape(i))

    def _name(self, tensor: int) -> str:
        name: bytes = self._graph.Tensors(tensor).Name()
        return name.decode()


def _builtin_options(name: str, table: Any) -> Any:
    if name not in _OPTIONS:
        return None
    options, union = _OPTIONS[name](), table.BuiltinOptions()
    options.Init(union.Bytes, union.Pos)
    return options


def _custom_options(table: Any) -> Any:
    return flexbuffers.Loads(table.CustomOptionsAsNumpy().tobytes()) if table.CustomOptionsLength() else {}
