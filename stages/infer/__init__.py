"""Stage `infer`: an engine animates the portrait; frames are uploaded in chunks while the next ones are rendered."""

from functools import partial

from shared.messages.engines import DEFAULT_ENGINE
from shared.messages.metadata import FaceMetadata
from shared.messages.task import RenderTask
from shared.slot.artifacts import ArrayArtifact
from shared.slot.engines import EngineSpec, engine_spec
from shared.slot.spec import StageSpec
from stages.infer.chunks import largest_chunk_bytes

_CHUNKS_ON_DISK = 6
_CHECKPOINTS_ON_DISK = 4


def _needed_bytes(engine: EngineSpec, task: RenderTask) -> int:
    """Disk for the chunks and checkpoints that wait for their upload."""
    face = task.metadata("face", FaceMetadata)
    chunks = _CHUNKS_ON_DISK * largest_chunk_bytes(face.width, face.height)
    if engine.checkpoint_bytes is None:
        return chunks
    return chunks + _CHECKPOINTS_ON_DISK * engine.checkpoint_bytes(task)


def stage_of(engine: str) -> StageSpec:
    """The stage's declaration with an engine. Raises ValueError for one that this build does not have."""
    spec = engine_spec(engine)
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
                "I420 (planes Y, U, V), BT.601, limited range; 25 frames/s, up to 25 frames and 16 MiB a chunk before "
                "coding",
                format="raw or lossless H.264",
                chunked=True,
            )
        },
        settings="stages.infer.settings:InferSettings",
        variables=(f"LIPSTAGE_{engine}_*".upper(), *spec.variables),
        reads=(f"LIPSTAGE_{engine}_WEIGHTS".upper(),) if spec.weights is not None else (),
        accelerator=spec.gpu,
        resumes=spec.checkpoint_bytes is not None,
        one_slot=spec.gpu,
        keeps_worker="it opens no user media: it reads arrays that workers of the same tenant's job have written, and"
        " its model may take minutes to load",
        memory_mb=spec.memory_mb,
        deadline_s=spec.deadline_s,
        needs_bytes=partial(_needed_bytes, spec),
    )


STAGE = stage_of(DEFAULT_ENGINE)
