"""MediaPipe's attention face mesh: three custom operators, and the merge of its refined lips, eyes and irises."""

from pathlib import Path

import numpy as np

from tools.convert_models.graph import GraphWriter
from tools.convert_models.tflite_graph import TfliteGraph, UnsupportedOperator
from tools.convert_models.tflite_model import Operator, TfliteModel

_COARSE_POINTS = 468
_IRIS_POINTS = 5
# The first points of an eye's subset are its lid contour: their mean depth stands for the iris, which has none.
_LID_CONTOUR = 16
# In the order of the model's crop operators, which carry the index of every refined point.
_REFINED_OUTPUTS = ("output_lips", "output_left_eye", "output_right_eye")
_IRIS_OUTPUTS = ("output_left_iris", "output_right_iris")


def convert_mesh(tflite: bytes, path: Path, **metadata: str) -> None:
    """Write the mesh as ONNX.

    Input ``image`` [N, 192, 192, 3] float32 in 0..1. Outputs ``landmarks`` [N, 478, 3] in pixels of the crop (z in the
    same unit, smaller is nearer) and ``score`` [N, 1], the probability that the crop shows a face.
    """
    model, graph = TfliteModel(tflite), GraphWriter()
    translation, crops = TfliteGraph(model, graph), CropOperators(model, graph)
    translation.custom = {
        "Landmarks2TransformMatrix": crops.transform_matrix,
        "TransformTensorBilinear": crops.crop,
        "TransformLandmarks": crops.transform_landmarks,
    }
    outputs = translation.emit("image")
    _merge(graph, outputs, crops.subsets)
    graph.op("Sigmoid", graph.op("Reshape", outputs["conv_faceflag"], graph.ints(0, 1)), output="score")
    size = model.shape(model.input)[1]
    points = _COARSE_POINTS + 2 * _IRIS_POINTS
    graph.save(path, {"image": ["N", size, size, 3]}, {"landmarks": ["N", points, 3], "score": ["N", 1]}, **metadata)


class CropOperators:
    """The custom operators. A crop matrix is held transposed, [N, 3, 2]: (u, v, 1) @ M = (x, y).

    ONNX has no two-argument arc tangent, and none is needed: the rotation is the normalised direction itself.
    """

    def __init__(self, model: TfliteModel, graph: GraphWriter) -> None:
        self.subsets: list[list[int]] = []
        self._model = model
        self._graph = graph

    def transform_matrix(self, op: Operator, inputs: list[str]) -> str:
        """The level box around a subset of landmarks, as the map from pixels of the crop to those of the features."""
        graph, options, points = self._graph, op.options, inputs[0]
        if options["target_rotation_radians"]:
            raise UnsupportedOperator("crop turned to another angle than 0")
        self.subsets.append(list(options["subset_idxs"]))
        points = graph.op("Slice", points, graph.ints(0), graph.ints(2), graph.ints(2))
        turn = self._rotation(points, options["left_rotation_idx"], options["right_rotation_idx"])
        subset = graph.op("Gather", points, graph.ints(*options["subset_idxs"]), axis=1)
        level = graph.op("MatMul", subset, turn)
        high, low = (graph.op(kind, level, graph.ints(1)) for kind in ("ReduceMax", "ReduceMin"))
        middle = graph.op("Mul", graph.op("Add", high, low), graph.exact(0.5))
        back = graph.op("Transpose", turn, perm=[0, 2, 1])
        centre = graph.op("MatMul", middle, back)
        width, height = options["output_width"], options["output_height"]
        pitch = graph.exact([options["scale_x"] / width, options["scale_y"] / height])
        step = graph.op("Mul", graph.op("Sub", high, low), pitch)
        axes = graph.op("Transpose", graph.op("Mul", turn, step), perm=[0, 2, 1])
        half = graph.op("MatMul", graph.exact([[[width / 2, height / 2]]]), axes)
        return graph.op("Concat", axes, graph.op("Sub", centre, half), axis=1)

    def crop(self, op: Operator, inputs: list[str]) -> str:
        """Bilinear samples of the features at the pixel centres of the crop."""
        graph = self._graph
        height, width = self._model.shape(op.inputs[0])[1:3]
        rows, columns = self._model.shape(op.output)[1:3]
        v, u = np.meshgrid(np.arange(rows) + 0.5, np.arange(columns) + 0.5, indexing="ij")
        grid = graph.exact(np.stack([u.ravel(), v.ravel(), np.ones(u.size)], axis=1)[None])
        pixels = graph.op("MatMul", grid, inputs[1])
        unit = graph.op("Sub", graph.op("Mul", pixels, graph.exact([2 / width, 2 / height])), graph.exact(1.0))
        where = graph.op("Reshape", unit, graph.ints(0, rows, columns, 2))
        return graph.op("GridSample", inputs[0], where, mode="linear", padding_mode="zeros", align_corners=0)

    def transform_landmarks(self, _: Operator, inputs: list[str]) -> str:
        """Points of a crop, back in pixels of the whole image."""
        graph, (points, matrix) = self._graph, inputs
        axes = graph.op("Slice", matrix, graph.ints(0), graph.ints(2), graph.ints(1))
        shift = graph.op("Slice", matrix, graph.ints(2), graph.ints(3), graph.ints(1))
        return graph.op("Add", graph.op("MatMul", points, axes), shift)

    def _rotation(self, points: str, left: int, right: int) -> str:
        """[N, 2, 2], [[c, -s], [s, c]]: turns row vectors so that the line from ``left`` to ``right`` is level."""
        graph = self._graph
        ends = [graph.op("Gather", points, graph.ints(index), axis=1) for index in (right, left)]
        line = graph.op("Sub", *ends)
        length = graph.op("Sqrt", graph.op("ReduceSum", graph.op("Mul", line, line), graph.ints(2)))
        cosine, sine = graph.split(graph.op("Div", line, length), parts=2, axis=2)
        first = graph.op("Concat", cosine, graph.op("Neg", sine), axis=2)
        return graph.op("Concat", first, graph.op("Concat", sine, cosine, axis=2), axis=1)


def _merge(graph: GraphWriter, outputs: dict[str, str], subsets: list[list[int]]) -> None:
    """Write output ``landmarks``: refined points replace the x and y of their coarse twins, irises are appended."""
    mesh = graph.op("Reshape", outputs["output_mesh_identity"], graph.ints(0, -1, 3))
    coarse = graph.op("Slice", mesh, graph.ints(0), graph.ints(2), graph.ints(2))
    refined = [graph.op("Reshape", outputs[name], graph.ints(0, -1, 2)) for name in (*_REFINED_OUTPUTS, *_IRIS_OUTPUTS)]
    order = np.arange(_COARSE_POINTS + 2 * _IRIS_POINTS)
    start = _COARSE_POINTS
    for subset in subsets:
        order[subset] = start + np.arange(len(subset))
        start += len(subset)
    order[_COARSE_POINTS:] = start + np.arange(2 * _IRIS_POINTS)
    xy = graph.op("Gather", graph.op("Concat", coarse, *refined, axis=1), graph.ints(*order), axis=1)
    depth = graph.op("Slice", mesh, graph.ints(2), graph.ints(3), graph.ints(2))
    iris_depths = [_iris_depth(graph, depth, subset) for subset in subsets[1:]]
    graph.op("Concat", xy, graph.op("Concat", depth, *iris_depths, axis=1), axis=2, output="landmarks")


def _iris_depth(graph: GraphWriter, depth: str, eye: list[int]) -> str:
    lids = graph.op("Gather", depth, graph.ints(*eye[:_LID_CONTOUR]), axis=1)
    mean = graph.op("ReduceMean", lids, graph.ints(1))
    return graph.op("Expand", mean, graph.ints(1, _IRIS_POINTS, 1))
