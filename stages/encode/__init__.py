"""Stage encode: frames and sound become the user's mp4."""

from shared.messages.chunks import MAX_CODED_CHUNK_BYTES
from shared.messages.metadata import AudioMetadata
from shared.messages.task import RenderTask
from shared.slot.artifacts import FileArtifact
from shared.slot.spec import StageSpec

_CHUNKS_BYTES = 6 * MAX_CODED_CHUNK_BYTES
"""Chunks fetched ahead and the one in work, at their largest."""
_MP4_BYTES_PER_S = 1_000_000
"""Several times what 1080p has at this quality. faststart writes the file twice, the manifest needs two more copies."""


def _needs_bytes(job: RenderTask) -> int:
    seconds = job.metadata("audio", AudioMetadata).duration_s
    return _CHUNKS_BYTES + int(seconds * (3 * _MP4_BYTES_PER_S + 48_000 * 2 * 4))


STAGE = StageSpec(
    name="encode",
    handler="stages.encode.handler",
    inputs={"sound": "audio/sound", "portrait": "face/image"},
    streams={"frames": "infer/frames"},
    starts_early=True,
    previews=True,
    marks=True,
    outputs={
        "video": FileArtifact("video/mp4", "H.264 High 4:2:0 at 25 frames/s and AAC-LC at 48 kHz, index first"),
        "poster": FileArtifact("image/jpeg", "the first frame"),
    },
    settings="stages.encode.settings:EncodeSettings",
    memory_mb=2048,
    # As long as infer may take: two megapixels are encoded at 70 frames a second on two idle cores, a slow preset or a
    # busy core takes several times as long.
    deadline_s=3600.0,
    needs_bytes=_needs_bytes,
)
