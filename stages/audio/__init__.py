"""Stage audio: the user's speech file becomes the sound track and the signals that engines animate from."""

from collections.abc import Mapping

from pydantic import JsonValue

from shared.messages.codes import Code
from shared.messages.task import RenderTask
from shared.slot.artifacts import ArrayArtifact
from shared.slot.spec import StageSpec, TooCostly
from stages.audio.cost import DECODE_CPU_S
from stages.audio.settings import AudioSettings

_SOUND_BYTES_PER_S = 48_000 * 2 * 4
_ANALYSIS_BYTES_PER_S = 16_000 * 4 + 80 * 100 * 4 + 3 * 100 * 4


def _cache_parameters(job: RenderTask) -> Mapping[str, JsonValue]:
    params = job.request.params
    return {"duration": params.duration, "trim": params.trim, "max_s": AudioSettings().max_speech_s}


def _needs_bytes(_: RenderTask) -> int:
    """Space for the longest speech allowed: the length is unknown before decoding."""
    return int(AudioSettings().max_speech_s * (_SOUND_BYTES_PER_S + _ANALYSIS_BYTES_PER_S))


STAGE = StageSpec(
    name="audio",
    handler="stages.audio.handler",
    inputs={"speech": "request.speech"},
    outputs={
        "sound": ArrayArtifact("float32", ("samples at 48 kHz", "channels"), "amplitude, -1..1", format="raw"),
        "pcm": ArrayArtifact("float32", ("samples at 16 kHz",), "amplitude of one channel, -1..1", format="raw"),
        "mel": ArrayArtifact("float32", (80, "T"), "Whisper's log-mel, about -1.5..1.5; T: 10 ms steps"),
        "tracks": ArrayArtifact("float32", (3, "T"), "rows: F0 in Hz (0: unvoiced), voicing 0..1, level in dBFS"),
    },
    cache_version="4",
    cache_parameters=_cache_parameters,
    span="load_audio",
    metadata_attributes={
        "audio.sample_rate": "sample_rate",
        "audio.duration_gap_ms": "duration_gap_ms",
        "audio.duration_asked_s": "duration_asked_s",
    },
    settings="stages.audio.settings:AudioSettings",
    memory_mb=1536,
    too_costly=TooCostly(
        Code.AUDIO_UNREADABLE,
        f"The speech file takes more than {DECODE_CPU_S:g} s of CPU to decode. Convert it to FLAC, MP3 or 16-bit WAV.",
        "speech",
        f"at most {DECODE_CPU_S:g} s of CPU",
    ),
    needs_bytes=_needs_bytes,
    needs_vary=False,
)
