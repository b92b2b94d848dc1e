"""Translates the operators of MediaPipe's face models to ONNX, with a free batch dimension."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tflite
from numpy.typing import NDArray

from tools.convert_models.graph import GraphWriter
from tools.convert_models.tflite_model import Operator, TfliteModel

_TO_CHANNELS_FIRST = [0, 3, 1, 2]
_TO_CHANNELS_LAST = [0, 2, 3, 1]


class UnsupportedOperator(Exception):
    """The model has an operator, or a use of one, that this translation does not support."""


def same_padding(size: Sequence[int], kernel: Sequence[int], stride: Sequence[int]) -> list[int]:
    """TensorFlow's SAME padding of one image as ONNX pads [top, left, bottom, right]."""
    total = [max((math.ceil(n / s) - 1) * s + k - n, 0) for n, k, s in zip(size, kernel, stride, strict=True)]
    return [t // 2 for t in total] + [t - t // 2 for t in total]


class TfliteGraph:
    """Emits the whole model into ``graph``; images are NCHW, other tensors as in the file.

    ``custom`` holds emitters for custom operators by name: (operator, values of its inputs) -> value.
    """

    def __init__(self, model: TfliteModel, graph: GraphWriter) -> None:
        self.model = model
        self.graph = graph
        self.custom: dict[str, Callable[[Operator, list[str]], str]] = {}
        self._constants = dict(model.constants)
        self._values: dict[int, str] = {}
        self._builtin: dict[str, Callable[[Operator], str]] = {
            "CONV_2D": self._convolution,
            "DEPTHWISE_CONV_2D": self._depthwise,
            "MAX_POOL_2D": self._max_pool,
            "PRELU": self._prelu,
            "RELU": lambda op: self.graph.op("Relu", self._value(op.inputs[0])),
            "ADD": lambda op: self.graph.op("Add", *map(self._value, op.inputs)),
            "MUL": self._multiply,
            "PAD": self._pad,
            "RESIZE_BILINEAR": self._resize,
            "RESHAPE": self._reshape,
            "CONCATENATION": self._concatenate,
            "STRIDED_SLICE": self._identity_slice,
        }

    def emit(self, image: str) -> dict[str, str]:
        """Emit every operator; ``image`` is the NHWC input's name. Returns value names by output name."""
        self._values[self.model.input] = self.graph.op("Transpose", image, perm=_TO_CHANNELS_FIRST)
        for op in self.model.operators():
            if op.name == "DEQUANTIZE":  # float16 weights: converted here, stored as float16 again by the writer
                self._constants[op.output] = self._constants[op.inputs[0]].astype(np.float32)
                continue
            value = self._emit_one(op)
            self._values[op.output] = self.graph.op("Relu", value) if op.has_fused_relu else value
        return {name: self._values[tensor] for name, tensor in self.model.outputs.items()}

    def _emit_one(self, op: Operator) -> str:
        if op.name in self.custom:
            return self.custom[op.name](op, [self._value(i) for i in op.inputs])
        if op.name not in self._builtin:
            raise UnsupportedOperator(op.name)
        return self._builtin[op.name](op)

    def _value(self, tensor: int) -> str:
        return self._values[tensor] if tensor in self._values else self.graph.constant(self._constants[tensor])

    def _convolution(self, op: Operator) -> str:
        return self._grouped_convolution(op, self._constants[op.inputs[1]].transpose(0, 3, 1, 2), 1)

    def _depthwise(self, op: Operator) -> str:
        kernel = self._constants[op.inputs[1]].transpose(3, 0, 1, 2)
        return self._grouped_convolution(op, kernel, len(kernel))

    def _grouped_convolution(self, op: Operator, kernel: NDArray[Any], group: int) -> str:
        strides = [op.options.StrideH(), op.options.StrideW()]
        pads = self._pads(op, kernel.shape[2:], strides)
        weight, bias = self.graph.kernel(kernel), self._value(op.inputs[2])
        return self.graph.op("Conv", self._value(op.inputs[0]), weight, bias, strides=strides, pads=pads, group=group)

    def _max_pool(self, op: Operator) -> str:
        kernel = [op.options.FilterHeight(), op.options.FilterWidth()]
        strides = [op.options.StrideH(), op.options.StrideW()]
        pads = self._pads(op, kernel, strides)
        return self.graph.op("MaxPool", self._value(op.inputs[0]), kernel_shape=kernel, strides=strides, pads=pads)

    def _pads(self, op: Operator, kernel: Sequence[int], strides: Sequence[int]) -> list[int]:
        if op.options.Padding() != tflite.Padding.SAME:
            return [0, 0, 0, 0]
        return same_padding(self.model.shape(op.inputs[0])[1:3], kernel, strides)

    def _prelu(self, op: Operator) -> str:
        slope = self._constants[op.inputs[1]].reshape(-1, 1, 1)
        return self.graph.op("PRelu", self._value(op.inputs[0]), self.graph.constant(slope))

    def _multiply(self, op: Operator) -> str:
        factor = self._constants[op.inputs[1]]
        if factor.shape == (1, 4, 4):
            # Scales a crop matrix [N, 3, 2]: x and y of both axes and of the shift.
            factor = factor[:, :2][:, :, [0, 1, 3]].transpose(0, 2, 1)
        return self.graph.op("Mul", self._value(op.inputs[0]), self.graph.exact(factor))

    def _pad(self, op: Operator) -> str:
        amounts = self._constants[op.inputs[1]][_TO_CHANNELS_FIRST]
        return self.graph.op("Pad", self._value(op.inputs[0]), self.graph.ints(*amounts[:, 0], *amounts[:, 1]))

    def _resize(self, op: Operator) -> str:
        source, target = self.model.shape(op.inputs[0]), self.model.shape(op.output)
        scales = self.graph.exact([1, 1, target[1] / source[1], target[2] / source[2]])
        half_pixel = "half_pixel" if op.options.HalfPixelCenters() else "asymmetric"
        mode = "align_corners" if op.options.AlignCorners() else half_pixel
        image = self._value(op.inputs[0])
        return self.graph.op("Resize", image, "", scales, mode="linear", coordinate_transformation_mode=mode)

    def _reshape(self, op: Operator) -> str:
        value, shape = self._value(op.inputs[0]), self.model.shape(op.output)
        if len(self.model.shape(op.inputs[0])) == 4:
            value = self.graph.op("Transpose", value, perm=_TO_CHANNELS_LAST)
        value = self.graph.op("Reshape", value, self.graph.ints(0, *shape[1:]))
        return self.graph.op("Transpose", value, perm=_TO_CHANNELS_FIRST) if len(shape) == 4 else value

    def _concatenate(self, op: Operator) -> str:
        axis = op.options.Axis()
        if len(self.model.shape(op.output)) == 4:
            axis = _TO_CHANNELS_FIRST.index(axis % 4)
        return self.graph.op("Concat", *map(self._value, op.inputs), axis=axis)

    def _identity_slice(self, op: Operator) -> str:
        if self.model.shape(op.output) != self.model.shape(op.inputs[0]):
            raise UnsupportedOperator("STRIDED_SLICE that cuts")
        return self._value(op.inputs[0])
