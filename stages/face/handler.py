"""Decode, find, measure, frame: the work of stage `face`."""

from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.messages.metadata import FaceMetadata
from shared.slot.api import Context, Handler, Result, Task
from stages.face.choose import choose_face
from stages.face.decode import decode_portrait
from stages.face.frame import plan_frame
from stages.face.mask import face_mask
from stages.face.models import FaceModels, load_models
from stages.face.quality import occlusion, require_frame, require_usable, weaknesses


def load() -> Handler:
    """Load the models once; the handler keeps them between tasks."""
    cv2.setNumThreads(1)
    models = load_models()

    def handle(context: Context, task: Task) -> Result:
        return _handle(models, context, task)

    return handle


def _handle(models: FaceModels, context: Context, task: Task) -> Result:
    params = task.job.request.params
    with context.span("preprocess_image", **{"expand.ratio": params.expand_ratio}) as span:
        image = decode_portrait(task.inputs["portrait"])
        height, width = image.shape[:2]
        span.event("Image decoded", {"image.width": width, "image.height": height})
        context.raise_if_cancelled()
        faces = models.search.find(image)
        context.count("face_detections_total")
        face = choose_face(faces, params.face, width, height)
        context.raise_if_cancelled()
        mesh = models.landmarks.locate(image, face)
        require_usable(mesh)
        undecided = len(faces) if params.face == "largest" else 1
        for code, message in chain(weaknesses(mesh, face.score, undecided), occlusion(image, mesh)):
            context.warn(code, message)
        frame = plan_frame(
            width,
            height,
            mesh.box,
            framing=params.framing,
            expand_ratio=params.expand_ratio,
            min_resolution=params.min_resolution,
        )
        points = frame.points(mesh.points)
        require_frame(points, frame.width, frame.height)
        files = {
            "image": _saved(context.scratch / "image.npy", frame.picture(image)),
            "landmarks": _saved(context.scratch / "landmarks.npy", points.astype(np.float32)),
            "mask": _saved(context.scratch / "mask.npy", face_mask(points, frame.width, frame.height)),
        }
        x0, y0 = points[:, :2].min(axis=0).tolist()
        x1, y1 = points[:, :2].max(axis=0).tolist()
        metadata = FaceMetadata(
            width=frame.width,
            height=frame.height,
            box=(x0, y0, x1, y1),
            face_count=len(faces),
            roi_size=round(max(x1 - x0, y1 - y0)),
            score=face.score,
            yaw=mesh.yaw,
        )
        span.set("face.roi_size", metadata.roi_size)
        span.set("video.resolution", f"{metadata.width}x{metadata.height}")
    return Result(files=files, metadata=metadata)


def _saved(path: Path, array: NDArray[np.uint8] | NDArray[np.float32]) -> Path:
    np.save(path, array, allow_pickle=False)
    return path
