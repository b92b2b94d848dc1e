"""MediaPipe's BlazeFace detectors with their anchors inside the graph."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tools.convert_models.graph import GraphWriter, Shape
from tools.convert_models.tflite_graph import TfliteGraph
from tools.convert_models.tflite_model import TfliteModel

# Input side in pixels, then (cells per side, anchors per cell) of each output layer.
_LAYOUTS = {128: [(16, 2), (8, 6)], 192: [(48, 1)]}
# Rows of one regression: box centre, box size, six key points.
_ROWS = 8
_SIZE_ROW = 1


def convert_detector(tflite: bytes, path: Path, **metadata: str) -> None:
    """Write a detector as ONNX.

    Input ``image`` [N, S, S, 3] float32 in -1..1, S = 128 (short range) or 192 (full range). Outputs:
    ``boxes`` [N, A, 8, 2] in the unit square, rows centre, size, right eye, left eye, nose tip, mouth, right and left
    tragion; ``scores`` [N, A] in 0..1.
    """
    model, graph = TfliteModel(tflite), GraphWriter()
    outputs = TfliteGraph(model, graph).emit("image")
    size = model.shape(model.input)[1]
    anchors = anchor_centres(_LAYOUTS[size])
    # The last dimension tells the two outputs apart; their names differ between the models.
    regressors, logits = sorted(outputs, key=lambda name: model.shape(model.outputs[name])[-1], reverse=True)
    relative = graph.op("Reshape", outputs[regressors], graph.ints(0, -1, _ROWS, 2))
    unit = graph.op("Mul", relative, graph.exact(1 / size))
    has_anchor = np.ones((_ROWS, 1), np.float32)
    has_anchor[_SIZE_ROW] = 0
    offset = graph.op("Mul", graph.exact(anchors[:, None]), graph.exact(has_anchor))
    graph.op("Add", unit, offset, output="boxes")
    graph.op("Sigmoid", graph.op("Reshape", outputs[logits], graph.ints(0, -1)), output="scores")
    count = len(anchors)
    shapes: dict[str, Shape] = {"boxes": ["N", count, _ROWS, 2], "scores": ["N", count]}
    graph.save(path, {"image": ["N", size, size, 3]}, shapes, **metadata)


def anchor_centres(layers: list[tuple[int, int]]) -> NDArray[np.float32]:
    """Centres [A, 2] (x, y) in the unit square, layer by layer, row by row, repeated per anchor of a cell."""
    centres = []
    for cells, per_cell in layers:
        axis = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        y, x = np.meshgrid(axis, axis, indexing="ij")
        centres.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), per_cell, axis=0))
    return np.concatenate(centres)
