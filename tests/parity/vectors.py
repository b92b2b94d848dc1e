"""Integers and scalars: rules that have one answer."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from stages.infer.sonic.picture import mask_rectangle, output_size
from stages.infer.sonic.schedule import karras
from stages.infer.sonic.speech import count_frames
from stages.infer.sonic.windows import Windows
from tests.parity import detector
from tests.parity.comparison import Row
from tests.parity.crop import crop_square

Vector = dict[str, Any]


def _crop(v: Vector) -> bool:
    return list(crop_square(v["box_xyxy"], v["expand_ratio"], v["width"], v["height"])) == v["crop_xyxy"]


def _resolution(v: Vector) -> bool:
    return output_size(v["image_width"], v["image_height"], v["min_resolution"]) == (v["width"], v["height"])


def _mask_rect(v: Vector) -> bool:
    return list(mask_rectangle(v["box_xywh"], v["width"], v["height"], v["area"])) == v["rect_xyxy"]


def _schedule(v: Vector) -> bool:
    schedule = karras(v["steps"])
    return np.allclose(schedule.sigmas, v["sigmas"], 1e-5, 0) and np.allclose(schedule.times, v["timesteps"], 1e-5, 0)


def _windows(v: Vector) -> bool:
    windows = Windows(v["T"], v["window"], v["overlap"], v["shift_offset"])
    return windows.starts(v["step"]) == v["starts"] and windows.visits(v["step"]).tolist() == v["visits"]


def _frames(v: Vector) -> bool:
    ours = count_frames(v["samples"])
    actual = (ours.audio_frames, ours.frames, ours.chunks, ours.interpolated)
    return actual == (v["N"], v["T"], v["mel_chunks"], v["interpolated_frames"])


def _detector(v: Vector) -> bool:
    picture = (v["image_width"], v["image_height"])
    seen = detector.network_size(*picture)
    shapes = [list(grid.shape) for grid in detector.grids(*seen)]
    faces = detector.decode_faces(np.array(v["raw_rows"], np.float32), seen, picture)
    actual = ([face.box_xywh for face in faces], [face.landmarks for face in faces], [face.score for face in faces])
    expected = (v["boxes_xywh"], v["landmarks"], v["scores"])
    return (
        (*seen, shapes, len(faces)) == (v["net_width"], v["net_height"], v["grid_shapes"], len(v["scores"]))
        and all(np.allclose(a, b, 0, 1e-2) for a, b in zip(actual[:2], expected[:2], strict=True))
        and np.allclose(actual[2], expected[2], 0, 1e-5)
    )


CHECKS: dict[str, Callable[[Vector], bool]] = {
    "crop": _crop,
    "resolution": _resolution,
    "mask_rect": _mask_rect,
    "schedule": _schedule,
    "windows": _windows,
    "detector": _detector,
    "frames": _frames,
}


def compare(vectors: dict[str, list[Vector]]) -> Iterator[Row]:
    """One row per kind of vector; an unknown kind counts as missing."""
    for kind, entries in vectors.items():
        if kind not in CHECKS:
            yield Row(f"vectors.{kind}", "exact", "rule", "-", float("inf"), "not computed")
            continue
        wrong = sum(not CHECKS[kind](entry) for entry in entries)
        note = f"{len(entries)} vectors" + (f", {wrong} differ" if wrong else "")
        yield Row(f"vectors.{kind}", "exact", "rule", "-", float("inf") if wrong else 0.0, note)
