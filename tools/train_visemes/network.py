"""The head, forward and backward, in NumPy: features of a frame and its neighbours to a mouth shape and an opening.

Layer normalisation (Ba et al. 2016), then a linear probe and, in parallel, a narrow branch with a context of ``REACH``
frames on both sides; GELU in its tanh form (Hendrycks and Gimpel 2016), dropout (Srivastava et al. 2014).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.infer.puppet.visemes import CLASSES

Array = NDArray[np.float32]
Parameters = dict[str, Array]

NARROW, HIDDEN, REACH = 64, 128, 4
OUTPUTS = len(CLASSES) + 1
"""Logits of the classes, then that of the opening."""
_EPSILON = 1e-5
_DROP_FEATURES, _DROP_HIDDEN = 0.2, 0.3
_SLOPE = np.float32(np.sqrt(2 / np.pi))
_CUBIC = np.float32(0.044715)


def initialise(width: int, rng: np.random.Generator) -> Parameters:
    """Random parameters for features of the given width; matrices are [outputs, inputs]."""

    def layer(outputs: int, inputs: int) -> Array:
        bound = inputs**-0.5
        return rng.uniform(-bound, bound, (outputs, inputs)).astype(np.float32)

    joined = NARROW * (2 * REACH + 1)
    return {
        "n.weight": np.ones(width, np.float32),
        "n.bias": np.zeros(width, np.float32),
        "a.weight": layer(NARROW, width),
        "a.bias": np.zeros(NARROW, np.float32),
        "b.weight": layer(HIDDEN, joined),
        "b.bias": np.zeros(HIDDEN, np.float32),
        "c.weight": layer(OUTPUTS, HIDDEN),
        "c.bias": np.zeros(OUTPUTS, np.float32),
        "l.weight": layer(OUTPUTS, width),
        "l.bias": np.zeros(OUTPUTS, np.float32),
    }


@dataclass(frozen=True)
class Pass:
    """The result of a forward pass, with the values that the backward pass needs."""

    outputs: Array
    """[B, T, OUTPUTS] logits."""
    kept: dict[str, Any]


def forward(p: Parameters, x: Array, rng: np.random.Generator | None = None) -> Pass:
    """Map features [B, T, width] to logits; with a generator, dropout is applied as in training."""
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = 1 / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + np.float32(_EPSILON))
    normal = centred * scale
    y = normal * p["n.weight"] + p["n.bias"]
    drop_y = _mask(y.shape, _DROP_FEATURES, rng)
    y = y * drop_y
    a = y @ p["a.weight"].T + p["a.bias"]
    narrow, narrow_slope = _gelu(a)
    joined = _join(narrow)
    b = joined @ p["b.weight"].T + p["b.bias"]
    hidden, hidden_slope = _gelu(b)
    drop_h = _mask(hidden.shape, _DROP_HIDDEN, rng)
    hidden = hidden * drop_h
    outputs = hidden @ p["c.weight"].T + p["c.bias"] + y @ p["l.weight"].T + p["l.bias"]
    kept = {"normal": normal, "y": y, "drop_y": drop_y, "narrow_slope": narrow_slope}
    kept |= {"joined": joined, "hidden_slope": hidden_slope, "hidden": hidden, "drop_h": drop_h}
    return Pass(outputs, kept)


def backward(p: Parameters, result: Pass, slope: Array) -> Parameters:
    """Gradients of all parameters from the gradient of the outputs, ``slope`` [B, T, OUTPUTS]."""
    k = result.kept
    grads: Parameters = {}
    _linear(grads, "c", k["hidden"], slope)
    _linear(grads, "l", k["y"], slope)
    to_b = (slope @ p["c.weight"]) * k["drop_h"] * k["hidden_slope"]
    _linear(grads, "b", k["joined"], to_b)
    to_a = _join_backward(to_b @ p["b.weight"]) * k["narrow_slope"]
    _linear(grads, "a", k["y"], to_a)
    to_y = (to_a @ p["a.weight"] + slope @ p["l.weight"]) * k["drop_y"]
    grads["n.weight"] = (to_y * k["normal"]).sum(axis=(0, 1))
    grads["n.bias"] = to_y.sum(axis=(0, 1))
    return grads


def predict(p: Parameters, features: NDArray[np.floating]) -> tuple[Array, Array]:
    """Map one recording's features [T, width] to probabilities [T, classes] and openings [T]."""
    outputs = forward(p, np.asarray(features, np.float32)[None]).outputs[0]
    return softmax(outputs[:, :-1]), sigmoid(outputs[:, -1])


def softmax(logits: Array) -> Array:
    """Over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def sigmoid(logits: Array) -> Array:
    """The logistic function."""
    return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def _mask(shape: tuple[int, ...], share: float, rng: np.random.Generator | None) -> Array | np.float32:
    if rng is None:
        return np.float32(1)
    return (rng.random(shape, np.float32) >= share).astype(np.float32) / np.float32(1 - share)


def _gelu(x: Array) -> tuple[Array, Array]:
    """Values and derivatives."""
    inner = np.tanh(_SLOPE * (x + _CUBIC * x * x * x))
    half = np.float32(0.5) * (1 + inner)
    slope = half + np.float32(0.5) * x * (1 - inner * inner) * _SLOPE * (1 + 3 * _CUBIC * x * x)
    return x * half, slope


def _join(narrow: Array) -> Array:
    """[B, T, n] to [B, T, (2 REACH + 1) n]: every frame with its neighbours, earliest first; zeros beyond the ends."""
    padded = np.pad(narrow, ((0, 0), (REACH, REACH), (0, 0)))
    return np.concatenate([padded[:, i : i + narrow.shape[1]] for i in range(2 * REACH + 1)], axis=-1)


def _join_backward(joined: Array) -> Array:
    """The gradient of _join."""
    batch, count, width = joined.shape
    narrow = width // (2 * REACH + 1)
    padded = np.zeros((batch, count + 2 * REACH, narrow), np.float32)
    for i in range(2 * REACH + 1):
        padded[:, i : i + count] += joined[..., i * narrow : (i + 1) * narrow]
    return padded[:, REACH : REACH + count]


def _linear(grads: Parameters, name: str, inputs: Array, slope: Array) -> None:
    flat = slope.reshape(-1, slope.shape[-1])
    grads[f"{name}.weight"] = flat.T @ inputs.reshape(-1, inputs.shape[-1])
    grads[f"{name}.bias"] = flat.sum(axis=0)
