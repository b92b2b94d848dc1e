"""Whisper's tiny.en encoder and the viseme head in one ONNX file.

The encoder is that of "Robust Speech Recognition via Large-Scale Weak Supervision" (Radford et al., 2022): two
convolutions, sinusoidal positions, pre-norm transformer blocks.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from tools.convert_models.graph import GraphWriter, Shape

_HEADS = 6
_EPSILON = 1e-5
_LONGEST_WAVELENGTH = 10000.0

Parameters = dict[str, NDArray[Any]]


def convert_visemes(encoder: Parameters, head: Parameters, path: Path, **metadata: str) -> None:
    """Write encoder and head as ONNX with int8 weights.

    Input ``mel`` [N, 80, T] float32: Whisper's log-mel, 100 frames a second, T even. Outputs, 50 a second: ``features``
    [N, T/2, 384]; ``visemes`` [N, T/2, 15], probabilities that sum to 1; ``opening`` [N, T/2, 1] of the mouth, 0 to 1.
    """
    graph = GraphWriter("int8")
    builder = _Encoder(encoder, graph)
    features = builder.emit("mel", output="features")
    _emit_head(head, graph, features)
    classes = head["l.bias"].size - 1
    shapes: dict[str, Shape] = {
        "features": ["N", "T2", builder.width],
        "visemes": ["N", "T2", classes],
        "opening": ["N", "T2", 1],
    }
    mel_bins = encoder["encoder/conv1/weight"].shape[1]
    graph.save(path, {"mel": ["N", mel_bins, "T"]}, shapes, **metadata)


class _Encoder:
    """Emits the encoder; parameter names are those of CTranslate2."""

    def __init__(self, parameters: Parameters, graph: GraphWriter) -> None:
        self.width = parameters["encoder/layer_norm/gamma"].size
        self._parameters = parameters
        self._graph = graph

    def emit(self, mel: str, output: str) -> str:
        graph = self._graph
        x = self._convolution(mel, "encoder/conv1", stride=1)
        x = self._convolution(x, "encoder/conv2", stride=2)
        x = graph.op("Transpose", x, perm=[0, 2, 1])
        x = graph.op("Add", x, self._positions(x))
        layer = 0
        while f"encoder/layer_{layer}/ffn/linear_0/weight" in self._parameters:
            x = graph.op("Add", x, self._attention(x, f"encoder/layer_{layer}/self_attention"))
            x = graph.op("Add", x, self._feed_forward(x, f"encoder/layer_{layer}/ffn"))
            layer += 1
        return self._norm(x, "encoder/layer_norm", output)

    def _convolution(self, x: str, name: str, stride: int) -> str:
        graph = self._graph
        weight = graph.kernel(self._parameters[f"{name}/weight"])
        bias = graph.constant(self._parameters[f"{name}/bias"])
        y = graph.op("Conv", x, weight, bias, kernel_shape=[3], pads=[1, 1], strides=[stride])
        return graph.op("Gelu", y)

    def _positions(self, x: str) -> str:
        """Sinusoids [T, width], sines first: computed, since the stored table is only a half-precision copy of them."""
        graph, half = self._graph, self.width // 2
        length = graph.op("Squeeze", graph.op("Shape", x, start=1, end=2))
        steps = graph.op("Range", graph.scalar(0), length, graph.scalar(1))
        time = graph.op("Unsqueeze", graph.op("Cast", steps, to=TensorProto.FLOAT), graph.ints(1))
        frequencies = np.exp(-np.log(_LONGEST_WAVELENGTH) / (half - 1) * np.arange(half))
        angle = graph.op("Mul", time, graph.exact(frequencies[None]))
        return graph.op("Concat", graph.op("Sin", angle), graph.op("Cos", angle), axis=-1)

    def _attention(self, x: str, name: str) -> str:
        graph, head_width = self._graph, self.width // _HEADS
        normed = self._norm(x, f"{name}/layer_norm")
        query, key, value = graph.split(self._linear(normed, f"{name}/linear_0"), parts=3, axis=2)
        query = graph.op("Mul", query, graph.exact(head_width**-0.5))
        per_head = graph.ints(0, 0, _HEADS, head_width)
        query = graph.op("Transpose", graph.op("Reshape", query, per_head), perm=[0, 2, 1, 3])
        key = graph.op("Transpose", graph.op("Reshape", key, per_head), perm=[0, 2, 3, 1])
        value = graph.op("Transpose", graph.op("Reshape", value, per_head), perm=[0, 2, 1, 3])
        weights = graph.op("Softmax", graph.op("MatMul", query, key), axis=-1)
        mixed = graph.op("Transpose", graph.op("MatMul", weights, value), perm=[0, 2, 1, 3])
        joined = graph.op("Reshape", mixed, graph.ints(0, 0, self.width))
        return self._linear(joined, f"{name}/linear_1")

    def _feed_forward(self, x: str, name: str) -> str:
        hidden = self._graph.op("Gelu", self._linear(self._norm(x, f"{name}/layer_norm"), f"{name}/linear_0"))
        return self._linear(hidden, f"{name}/linear_1")

    def _linear(self, x: str, name: str) -> str:
        return _linear(self._graph, x, self._parameters[f"{name}/weight"], self._parameters[f"{name}/bias"])

    def _norm(self, x: str, name: str, output: str | None = None) -> str:
        gamma, beta = self._parameters[f"{name}/gamma"], self._parameters[f"{name}/beta"]
        return _norm(self._graph, x, gamma, beta, output)


def _emit_head(head: Parameters, graph: GraphWriter, features: str) -> None:
    """Outputs ``visemes`` and ``opening``: a linear probe plus a narrow branch with a context on both sides."""
    x = _norm(graph, features, head["n.weight"], head["n.bias"])
    narrow = graph.op("Gelu", _linear(graph, x, head["a.weight"], head["a.bias"]), approximate="tanh")
    # Trained as one matrix over joined frames, which is a convolution over time.
    outputs, joined = head["b.weight"].shape
    width = head["a.bias"].size
    frames = joined // width
    kernel = head["b.weight"].reshape(outputs, frames, width).transpose(0, 2, 1)
    pads = [frames // 2, frames // 2]
    narrow = graph.op("Transpose", narrow, perm=[0, 2, 1])
    context = graph.op(
        "Conv", narrow, graph.kernel(kernel), graph.constant(head["b.bias"]), kernel_shape=[frames], pads=pads
    )
    context = graph.op("Gelu", graph.op("Transpose", context, perm=[0, 2, 1]), approximate="tanh")
    probe = _linear(graph, x, head["l.weight"], head["l.bias"])
    logits = graph.op("Add", probe, _linear(graph, context, head["c.weight"], head["c.bias"]))
    classes, last = head["l.bias"].size - 1, graph.ints(2)
    shapes = graph.op("Slice", logits, graph.ints(0), graph.ints(classes), last)
    graph.op("Softmax", shapes, axis=-1, output="visemes")
    opening = graph.op("Slice", logits, graph.ints(classes), graph.ints(classes + 1), last)
    graph.op("Sigmoid", opening, output="opening")


def _linear(graph: GraphWriter, x: str, weight: NDArray[Any], bias: NDArray[Any]) -> str:
    return graph.op("Add", graph.op("MatMul", x, graph.matrix(weight.T)), graph.constant(bias))


def _norm(graph: GraphWriter, x: str, scale: NDArray[Any], bias: NDArray[Any], output: str | None = None) -> str:
    inputs = (x, graph.constant(scale), graph.constant(bias))
    return graph.op("LayerNormalization", *inputs, output=output, axis=-1, epsilon=_EPSILON)
