"""Trains the head: AdamW (Loshchilov and Hutter 2019) with a cosine schedule, one seed, one order of sums.

The loss is the cross-entropy of the class, smoothed and weighted against frequent classes, plus the squared error of
the opening. Two runs on one machine with one BLAS thread and equal examples give equal bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.infer.puppet.visemes import CLASSES
from tools.train_visemes.features import Example
from tools.train_visemes.network import Array, Parameters, backward, forward, initialise, sigmoid, softmax

_BATCH, _FRAMES = 16, 200
_RATE, _LAST_RATE, _DECAY = 2e-3, 1e-5, 0.05
_MOMENTS, _EPSILON = (0.9, 0.999), 1e-8
_SMOOTHING = 0.05
_RARITY = 0.35
"""Exponent of a class's inverse frequency in its weight."""
_OPENING_WEIGHT = 12.0


@dataclass(frozen=True)
class Trained:
    """The parameters, and the loss of every step."""

    parameters: Parameters
    losses: list[float]


def train(examples: Sequence[Example], steps: int, seed: int) -> Trained:
    """Train for ``steps`` batches of 16 x 4 s. Raises ValueError without examples."""
    if not examples:
        raise ValueError("nothing to train on")
    rng = np.random.default_rng(seed)
    parameters = initialise(examples[0].features.shape[1], rng)
    weights = class_weights(examples)
    optimizer = _AdamW(parameters)
    losses = []
    chances = np.array([len(example.classes) for example in examples], np.float64)
    chances /= chances.sum()
    for step in range(steps):
        batch = _Batch.draw(examples, chances, rng)
        result = forward(parameters, batch.features, rng)
        value, slope = loss(result.outputs, batch.classes, batch.opening, batch.valid, weights)
        rate = _LAST_RATE + 0.5 * _RATE * (1 + np.cos(np.pi * step / steps))
        optimizer.step(parameters, backward(parameters, result, slope), rate)
        losses.append(value)
    return Trained(parameters, losses)


def class_weights(examples: Sequence[Example]) -> Array:
    """Weights [classes] with mean 1; rare classes weigh more."""
    counts = sum(np.bincount(example.classes, minlength=len(CLASSES)) for example in examples) + 1
    weights = (np.sum(counts) / counts) ** _RARITY
    return np.asarray(weights / weights.mean(), np.float32)


def loss(
    outputs: Array, classes: NDArray[np.int8], opening: Array, valid: Array, weights: Array
) -> tuple[float, Array]:
    """Loss of logits [B, T, OUTPUTS] and its gradient; ``valid`` [B, T] is 0 after the end of an example."""
    probabilities = softmax(outputs[..., :-1])
    target = np.eye(len(CLASSES), dtype=np.float32)[classes] * (1 - _SMOOTHING) + _SMOOTHING / len(CLASSES)
    weight = weights[classes] * valid
    weight /= weight.sum()
    cross = -float((np.log(probabilities + 1e-9) * target).sum(axis=-1).ravel() @ weight.ravel())
    predicted = sigmoid(outputs[..., -1])
    share = valid * np.float32(_OPENING_WEIGHT) / valid.sum()
    error = predicted - opening
    slope = np.empty(outputs.shape, np.float32)
    slope[..., :-1] = (probabilities - target) * weight[..., None]
    slope[..., -1] = 2 * error * share * predicted * (1 - predicted)
    return cross + float((error * error * share).sum()), slope


@dataclass(frozen=True)
class _Batch:
    features: Array
    classes: NDArray[np.int8]
    opening: Array
    valid: Array

    @classmethod
    def draw(cls, examples: Sequence[Example], chances: NDArray[np.float64], rng: np.random.Generator) -> "_Batch":
        """Draw parts of random examples, longer ones more often."""
        width = examples[0].features.shape[1]
        batch = cls(
            np.zeros((_BATCH, _FRAMES, width), np.float32),
            np.zeros((_BATCH, _FRAMES), np.int8),
            np.zeros((_BATCH, _FRAMES), np.float32),
            np.zeros((_BATCH, _FRAMES), np.float32),
        )
        for row, pick in enumerate(rng.choice(len(examples), _BATCH, p=chances)):
            example = examples[pick]
            start = int(rng.integers(max(1, len(example.classes) - _FRAMES + 1)))
            part = slice(start, start + _FRAMES)
            count = len(example.classes[part])
            batch.features[row, :count] = example.features[part]
            batch.classes[row, :count] = example.classes[part]
            batch.opening[row, :count] = example.opening[part]
            batch.valid[row, :count] = 1
        return batch


class _AdamW:
    def __init__(self, parameters: Parameters) -> None:
        self._mean = {name: np.zeros_like(value) for name, value in parameters.items()}
        self._square = {name: np.zeros_like(value) for name, value in parameters.items()}
        self._steps = 0

    def step(self, parameters: Parameters, grads: Parameters, rate: float) -> None:
        self._steps += 1
        first, second = _MOMENTS
        for name, grad in grads.items():
            self._mean[name] = first * self._mean[name] + (1 - first) * grad
            self._square[name] = second * self._square[name] + (1 - second) * grad * grad
            mean = self._mean[name] / (1 - first**self._steps)
            spread = np.sqrt(self._square[name] / (1 - second**self._steps)) + _EPSILON
            parameters[name] = (parameters[name] * (1 - rate * _DECAY) - rate * mean / spread).astype(np.float32)
