"""The face stage's handler: decodes the portrait, finds its face and frames the picture to animate."""

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.messages.metadata import FaceMetadata, FoundFace
from shared.slot.api import Context, Handler, Result, Task
from shared.slot.limits import limit_cpu
from stages.face import DECODE_CPU_S
from stages.face.choose import by_size, choose_face
from stages.face.decode import decode_portrait
from stages.face.detector import DetectedFace
from stages.face.frame import plan_frame
from stages.face.mask import face_mask
from stages.face.models import FaceModels, load_models
from stages.face.quality import (
    occlusion_warnings,
    quality_warnings,
    require_frame,
    require_upright,
    require_usable,
    roll_warnings,
)
from stages.face.roll import upright

MAX_FACES = 16
"""As many faces are named in the metadata."""


def load() -> Handler:
    """Load the networks. Raises shared.slot.weights.WeightsAltered."""
    cv2.setNumThreads(1)
    # Once for all processes that are forked from this one, not with the first portrait of each: decoders and tables.
    Image.preinit()
    cv2.cvtColor(np.zeros((1, 1, 3), np.uint8), cv2.COLOR_RGB2LAB)
    return FaceHandler(load_models()).handle


@dataclass(frozen=True, slots=True)
class FaceHandler:
    """Prepares portraits; holds what stays loaded between tasks."""

    models: FaceModels

    def handle(self, context: Context, task: Task) -> Result:
        """Decode the portrait, find the requested face, frame the picture.

        Files: ``image`` (npy uint8 [H, W, 3] RGB, the size of the video), ``landmarks`` (npy float32 [478, 3] in pixels
        of the image), ``mask`` (npy uint8 [H, W], 255 on the face). A picture that lies on its side or upside down is
        turned. Warns of that, several faces, weak detections, strong poses, few pixels and an occluded mouth. Raises
        Rejected with the codes of ``decode_portrait``, ``choose_face``, ``require_upright``, ``require_usable`` and
        ``require_frame``.
        """
        params = task.job.request.params
        with context.span("preprocess_image", **{"expand.ratio": params.expand_ratio}) as span:
            with limit_cpu(DECODE_CPU_S):
                image = decode_portrait(task.inputs["portrait"])
            height, width = image.shape[:2]
            span.event("Image decoded", {"image.width": width, "image.height": height})
            context.raise_if_cancelled()
            faces = self.models.search.find(image)
            context.count("face_detections_total")
            face = choose_face(faces, params.face, width, height)
            context.raise_if_cancelled()
            located = self.models.locator.locate(image, face)
            require_upright(located)
            decoded, portrait_size = image, (width, height)
            image, mesh = upright(image, located.mesh)
            height, width = image.shape[:2]
            require_usable(mesh)
            candidates = len(faces) if params.face == "largest" else 1
            warnings = chain(
                roll_warnings(located),
                quality_warnings(mesh, face.score, candidates),
                occlusion_warnings(image, mesh),
            )
            for code, message in warnings:
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
                "image": _save(context.scratch / "image.npy", frame.picture(image)),
                "landmarks": _save(context.scratch / "landmarks.npy", points.astype(np.float32)),
                "mask": _save(context.scratch / "mask.npy", face_mask(points, frame.width, frame.height)),
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
                portrait_size=portrait_size,
                faces=tuple(_found(one, portrait_size) for one in by_size(faces)[:MAX_FACES]),
                crop=frame.crop if image is decoded else None,
            )
            span.set("face.roi_size", metadata.roi_size)
            span.set("video.resolution", f"{metadata.width}x{metadata.height}")
        return Result(metadata=metadata, files=files)


def _found(face: DetectedFace, size: tuple[int, int]) -> FoundFace:
    """The face with its box inside the portrait, which a detected one may leave."""
    x0, y0, x1, y1 = (round(min(max(edge, 0), size[n % 2])) for n, edge in enumerate(face.box.tolist()))
    return FoundFace(box=(x0, y0, x1, y1), score=face.score)


def _save(path: Path, array: NDArray[np.uint8] | NDArray[np.float32]) -> Path:
    np.save(path, array, allow_pickle=False)
    return path
