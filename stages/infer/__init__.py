"""Stage `infer`: an engine animates the portrait; frames leave in chunks while the next are made."""

import os

from shared.messages.facts import FaceFacts
from shared.messages.task import RenderTask
from shared.slot.spec import StageSpec
from stages.infer.chunks import chunk_frames, frame_bytes
from stages.infer.engines import DEFAULT_ENGINE, ENVIRONMENT, entry

_CHUNKS_ON_DISK = 6


def _needs_bytes(task: RenderTask) -> int:
    """Chunks leave as they are made: only those under way lie on disk."""
    face = task.fact("face", FaceFacts)
    return _CHUNKS_ON_DISK * chunk_frames(face.width, face.height) * frame_bytes(face.width, face.height)


STAGE = StageSpec(
    name="infer",
    handler="stages.infer.handler",
    inputs={
        "image": "face/image",
        "landmarks": "face/landmarks",
        "mask": "face/mask",
        "pcm": "audio/pcm",
        "mel": "audio/mel",
        "tracks": "audio/tracks",
    },
    memory_mb=entry(os.environ.get(ENVIRONMENT, DEFAULT_ENGINE)).memory_mb,
    # Half an hour of speech, the most an operator may allow, at two megapixels: 25 minutes on an idle core.
    deadline_s=3600.0,
    needs_bytes=_needs_bytes,
)
