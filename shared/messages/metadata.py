"""Typed metadata of each stage, for later stages, events and spans: small values beside the artifacts."""

from pydantic import BaseModel, ConfigDict, Field

from shared.messages.chunks import RAW, FrameCodec


class StageMetadata(BaseModel):
    """Fields of a later minor version are kept and forwarded."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)


class AudioMetadata(StageMetadata):
    """The decoded speech."""

    codec: str
    sample_rate: int = Field(description="Sample rate of the source, Hz.")
    channels: int = Field(description="Channels of the source.")
    duration_s: float = Field(description="Decoded length after trimming, seconds.")
    duration_asked_s: float | None = None
    duration_gap_ms: int = Field(0, description="Requested minus decoded duration, milliseconds; 0 without a request.")
    silent: bool = Field(False, description="The recording is silent.")
    speech: bool = Field(True, description="Speech or singing was detected; else the mouth stays closed.")
    sound_channels: int = Field(description="Channels of the `sound` artifact (48 kHz float32): 1 or 2.")


class FoundFace(BaseModel):
    """A face of the portrait."""

    model_config = ConfigDict(extra="allow", frozen=True)

    box: tuple[int, int, int, int] = Field(description="x0, y0, x1, y1 in pixels of the portrait.")
    score: float


class FaceMetadata(StageMetadata):
    """The picture that is animated."""

    width: int
    height: int
    box: tuple[float, float, float, float] = Field(description="Face box x0, y0, x1, y1 in picture pixels.")
    face_count: int
    roi_size: int = Field(description="Longer side of the face box in picture pixels.")
    score: float
    yaw: float = Field(description="Signed: 0 frontal, 1 profile.")
    portrait_size: tuple[int, int] | None = Field(None, description="Width and height of the portrait, pixels.")
    faces: tuple[FoundFace, ...] = Field((), description="Faces found in the portrait, at most 16, the largest first.")
    crop: tuple[int, int, int, int] | None = Field(
        None,
        description="Part of the portrait that is animated: x0, y0, x1, y1 in its pixels; null where it was turned.",
    )


class InferMetadata(StageMetadata):
    """The animation."""

    engine: str
    width: int
    height: int
    fps: int = 25
    frames: int
    steps: int
    gpu_seconds: float = Field(0.0, description="Time on an accelerator, seconds; 0 on a CPU.")
    frame_codec: FrameCodec = Field(RAW, description="How the chunks of the frames are coded.")


class EncodeMetadata(StageMetadata):
    """The finished file, measured after writing."""

    duration_s: float
    width: int
    height: int
    fps: int
    frames: int
    container_drift_ms: float = Field(description="Audio against video in the file: length and start, milliseconds.")
    lip_offset_ms: float | None = Field(
        None,
        description="Mouth against the sound of the file, milliseconds, positive: video late; null without enough "
        "speech or without a visible mouth.",
    )
    quality: float | None = Field(None, description="0..1, see docs/eval.md; null when it was not measured.")
    bytes: int

    @property
    def audio_drift_ms(self) -> int:
        """The larger drift of container and lips, milliseconds, without its sign."""
        return round(max(abs(self.container_drift_ms), abs(self.lip_offset_ms or 0.0)))

    @property
    def attributes(self) -> dict[str, int | float]:
        """Span attributes of drifts and quality; without those that were not measured."""
        attributes = {
            "container.drift_ms": self.container_drift_ms,
            "lip.offset_ms": self.lip_offset_ms,
            "audio.drift_ms": self.audio_drift_ms,
            "render.quality": self.quality,
        }
        return {name: value for name, value in attributes.items() if value is not None}
