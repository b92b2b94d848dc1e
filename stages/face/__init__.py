"""Stage `face`: a portrait becomes the picture to animate, its landmarks and a mask of the face."""

from collections.abc import Mapping

from pydantic import JsonValue

from shared.messages.task import RenderTask
from shared.slot.spec import StageSpec


def _cache_parameters(task: RenderTask) -> Mapping[str, JsonValue]:
    fields = {"expand_ratio", "min_resolution", "framing", "face"}
    parameters: dict[str, JsonValue] = task.request.params.model_dump(mode="json", include=fields)
    return parameters


STAGE = StageSpec(
    name="face",
    handler="stages.face.handler",
    inputs={"portrait": "request.portrait"},
    cache_version="4",
    cache_parameters=_cache_parameters,
    span="preprocess_image",
    metadata_attributes={"face.roi_size": "roi_size"},
    # A 50 MP picture with alpha, EXIF turn and colour profile is the worst case that passes the limits.
    memory_mb=2048,
    deadline_s=60.0,
)
