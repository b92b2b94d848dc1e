"""Stage `infer`: an engine animates the portrait; frames leave in chunks while the next are made."""

from shared.messages.metadata import AudioMetadata, FaceMetadata
from shared.messages.task import RenderTask
from shared.slot.artifacts import ArrayArtifact
from shared.slot.spec import StageSpec
from stages.infer.chunks import chunk_frames, frame_bytes
from stages.infer.engines import DEFAULT_ENGINE, entry

_CHUNKS_ON_DISK = 6
_STATES_ON_DISK = 4


def _chunk_bytes(task: RenderTask) -> int:
    """Chunks leave as they are made: only those under way lie on disk."""
    face = task.metadata("face", FaceMetadata)
    return _CHUNKS_ON_DISK * chunk_frames(face.width, face.height) * frame_bytes(face.width, face.height)


def _bytes_with_state(task: RenderTask) -> int:
    return _chunk_bytes(task) + _STATES_ON_DISK * _state_bytes(task)


def _state_bytes(task: RenderTask) -> int:
    """Latents of a clip: float32, 4 channels at an eighth of the size, 12.5 frames a second."""
    face, audio = task.metadata("face", FaceMetadata), task.metadata("audio", AudioMetadata)
    return round(audio.duration_s * 12.5) * 16 * (face.width // 8 + 8) * (face.height // 8 + 8)


def stage_of(engine: str) -> StageSpec:
    """The stage as it runs with an engine. Raises ValueError for one that this build does not have."""
    of = entry(engine)
    return StageSpec(
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
        outputs={
            "frames": ArrayArtifact(
                "uint8",
                ("frames", "height * 3 / 2", "width"),
                "I420 (planes Y, U, V), BT.601, limited range; 25 frames/s, up to 25 frames and 16 MiB a chunk",
                format="raw",
                chunked=True,
            )
        },
        resumes=of.resumes,
        one_slot=of.gpu,
        memory_mb=of.memory_mb,
        deadline_s=of.deadline_s,
        needs_bytes=_bytes_with_state if of.resumes else _chunk_bytes,
    )


STAGE = stage_of(DEFAULT_ENGINE)
