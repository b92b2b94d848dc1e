"""What each stage found out and later stages, events and spans need: small typed figures beside the artifacts."""

from pydantic import BaseModel, ConfigDict, Field


class _Metadata(BaseModel):
    """Fields of a later minor version are kept and handed on."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)


class AudioMetadata(_Metadata):
    """The speech as decoded."""

    codec: str
    sample_rate: int = Field(description="Of the source, Hz.")
    channels: int = Field(description="Of the source.")
    duration_s: float = Field(description="True decoded length, after a wanted trim, seconds.")
    duration_asked_s: float | None = None
    duration_gap_ms: int = Field(0, description="Asked minus true, milliseconds; 0 when nothing was asked.")
    silent: bool = Field(False, description="Nothing is audible.")
    speech: bool = Field(True, description="Somebody speaks or sings; else the mouth stays closed.")
    sound_channels: int = Field(description="Channels of the `sound` artifact (48 kHz float32): 1 or 2.")


class FaceMetadata(_Metadata):
    """The picture as it will be animated."""

    width: int
    height: int
    box: tuple[float, float, float, float] = Field(description="Face box x0, y0, x1, y1 in picture pixels.")
    face_count: int
    roi_size: int = Field(description="Longer side of the face box in picture pixels.")
    score: float
    yaw: float = Field(description="0 frontal .. 1 profile, signed.")


class InferMetadata(_Metadata):
    """The animation."""

    engine: str
    width: int
    height: int
    fps: int = 25
    frames: int
    steps: int
    gpu_seconds: float = Field(0.0, description="Time an accelerator was held; 0 on a CPU.")


class EncodeMetadata(_Metadata):
    """The finished file, measured after it was written."""

    duration_s: float
    width: int
    height: int
    fps: int
    frames: int
    container_drift_ms: float = Field(description="Audio against video in the file: length and start, milliseconds.")
    lip_offset_ms: float | None = Field(
        None,
        description="Mouth against the file's sound, milliseconds, positive: video late; none without enough speech or "
        "visible mouth.",
    )
    quality: float | None = Field(None, description="0..1, see docs/eval.md; none when nothing was looked at.")
    bytes: int

    @property
    def audio_drift_ms(self) -> int:
        """The largest drift that is known, milliseconds, without its sign."""
        return round(max(abs(self.container_drift_ms), abs(self.lip_offset_ms or 0.0)))

    @property
    def attributes(self) -> dict[str, int | float]:
        """Drifts and quality as spans carry them; what is not known is not there."""
        found = {
            "container.drift_ms": self.container_drift_ms,
            "lip.offset_ms": self.lip_offset_ms,
            "audio.drift_ms": self.audio_drift_ms,
            "render.quality": self.quality,
        }
        return {name: value for name, value in found.items() if value is not None}
