"""The handler of `bench.alert_stage`: the job's label ``do`` chooses what becomes of the video."""

from shared.messages.metadata import EncodeMetadata
from shared.slot.api import Context, Handler, Result, Task

GOOD = EncodeMetadata(
    duration_s=1, width=8, height=8, fps=25, frames=25, container_drift_ms=0, lip_offset_ms=0, quality=0.9, bytes=1
)


def load() -> Handler:
    return handle


def handle(context: Context, task: Task) -> Result:
    metadata = GOOD
    match task.job.request.labels["do"]:
        case "fail":
            raise RuntimeError("a bad deployment")
        case "drift":
            metadata = GOOD.model_copy(update={"lip_offset_ms": 250.0})
        case "ugly":
            metadata = GOOD.model_copy(update={"quality": 0.2})
    files = {"video": context.scratch / "video.mp4", "poster": context.scratch / "poster.jpg"}
    for path in files.values():
        path.write_bytes(b"x")
    return Result(metadata=metadata, files=files)
