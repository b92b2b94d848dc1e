"""Stage face: a portrait becomes the picture to animate, its landmarks and a mask of the face."""

from collections.abc import Mapping

from pydantic import JsonValue

from shared.messages.codes import Code
from shared.messages.task import RenderTask
from shared.slot.artifacts import ArrayArtifact
from shared.slot.spec import StageSpec, TooCostly

DECODE_CPU_S = 30.0
"""CPU seconds of the decoding of a portrait, for what no limit foresees."""


def _cache_parameters(task: RenderTask) -> Mapping[str, JsonValue]:
    fields = {"expand_ratio", "min_resolution", "framing", "face"}
    parameters: dict[str, JsonValue] = task.request.params.model_dump(mode="json", include=fields)
    return parameters


STAGE = StageSpec(
    name="face",
    handler="stages.face.handler",
    inputs={"portrait": "request.portrait"},
    outputs={
        "image": ArrayArtifact("uint8", ("height", "width", 3), "sRGB, 0..255"),
        "landmarks": ArrayArtifact(
            "float32", (478, 3), "x, y in pixels of `image`, z in the same unit, smaller is nearer; MediaPipe's order"
        ),
        "mask": ArrayArtifact("uint8", ("height", "width"), "soft mask of the face: 255 inside, 0 outside"),
    },
    cache_version="6",
    cache_parameters=_cache_parameters,
    span="preprocess_image",
    metadata_attributes={"face.roi_size": "roi_size"},
    # 65 MP pictures of every format, with alpha, EXIF rotation and colour profile, take 1250 to 1900 MiB.
    memory_mb=2048,
    deadline_s=60.0,
    too_costly=TooCostly(
        Code.IMAGE_UNREADABLE,
        f"The portrait takes more than {DECODE_CPU_S:g} s of CPU to decode. Save it again as JPEG or PNG.",
        "portrait",
        f"at most {DECODE_CPU_S:g} s of CPU",
    ),
)
