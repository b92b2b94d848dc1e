"""The audio stage's handler: decodes the speech, resolves its duration and analyses it."""

from dataclasses import dataclass

import av
import av.logging
import numpy as np
import numpy.fft  # Else numpy imports both in each forked process, with its first speech.
import numpy.ma
from numpy.typing import NDArray

from shared.messages.codes import Code
from shared.messages.metadata import AudioMetadata
from shared.slot.api import Context, Handler, Result, Task
from shared.slot.limits import limit_cpu
from stages.audio.activity import NOISY_DB, SpeechActivity, has_speech, signal_to_noise_db
from stages.audio.cost import DECODE_CPU_S
from stages.audio.decode import decode
from stages.audio.duration import correction, resolve_duration
from stages.audio.loudness import is_silent, rms_dbfs
from stages.audio.melspec import log_mel
from stages.audio.pitch import pitch_track
from stages.audio.settings import AudioSettings

_SAFE_LIBAVCODEC = (62, 28, 102)
"""FFmpeg 8.1.2: earlier releases have known memory errors that a crafted file reaches."""
_FILES = {"pcm": "pcm.f32", "mel": "mel.npy", "tracks": "tracks.npy"}


def load() -> Handler:
    """Check the decoder library and load the speech network.

    Raises RuntimeError below FFmpeg 8.1.2, shared.slot.weights.WeightsAltered.
    """
    version = av.library_versions["libavcodec"]
    if version < _SAFE_LIBAVCODEC:
        raise RuntimeError(f"libavcodec {version} is too old for untrusted files: FFmpeg 8.1.2 or later is needed")
    av.logging.set_level(av.logging.PANIC)
    return AudioHandler(AudioSettings().max_speech_s, SpeechActivity()).handle


@dataclass(frozen=True, slots=True)
class AudioHandler:
    """Decodes and analyses speech; holds what stays loaded between tasks."""

    max_speech_s: float
    activity: SpeechActivity

    def handle(self, context: Context, task: Task) -> Result:
        """Decode the speech, resolve its duration, analyse it.

        Files: ``sound`` (float32 LE at 48 kHz, 1 or 2 channels interleaved), ``pcm`` (float32 LE mono at 16 kHz),
        ``mel`` (npy float32 [80, T], T = samples // 160), ``tracks`` (npy float32 [3, T]: F0 in Hz with 0 for unvoiced,
        voicing 0..1, level in dBFS). Warns DURATION_CORRECTED, SILENT_AUDIO, NO_SPEECH, NOISY_AUDIO. Raises Rejected
        with the codes of ``stages.audio.decode.decode``.
        """
        params = task.job.request.params
        with context.span("load_audio") as span:
            sound = context.scratch / "sound.f32"
            with limit_cpu(DECODE_CPU_S):
                speech = decode(task.inputs["speech"], sound, self.max_speech_s, context.raise_if_cancelled)
            span.event(
                "Audio decoded",
                {
                    "audio.codec": speech.codec,
                    "audio.sample_rate": speech.sample_rate,
                    "audio.channels": speech.channels,
                    "audio.duration_s": speech.duration_s,
                },
            )
            true_s = speech.duration_s
            duration = resolve_duration(true_s, params.duration, trim=params.trim)
            if params.duration is not None and duration.corrected:
                context.warn(Code.DURATION_CORRECTED, correction(duration, params.duration, true_s))
            speech = speech.cut(duration.seconds)
            span.set("audio.sample_rate", speech.sample_rate)
            span.set("audio.duration_gap_ms", duration.gap_ms)
            if params.duration is not None:
                span.set("audio.duration_asked_s", params.duration)

            context.progress(50, 100)
            level = rms_dbfs(speech.pcm)
            silent = is_silent(level)
            if silent:
                context.warn(Code.SILENT_AUDIO, "The speech is silent: the mouth will stay closed.")
            speaks = _check_speech(context, self.activity.probabilities(speech.pcm), level)
            mel = log_mel(speech.pcm)
            context.progress(80, 100)
            f0, voicing = pitch_track(speech.pcm, level)
            context.raise_if_cancelled()
            files = {role: context.scratch / name for role, name in _FILES.items()}
            speech.pcm.astype("<f4").tofile(files["pcm"])
            np.save(files["mel"], mel)
            np.save(files["tracks"], np.stack([f0, voicing, level]))

        metadata = AudioMetadata(
            codec=speech.codec,
            sample_rate=speech.sample_rate,
            channels=speech.channels,
            duration_s=speech.duration_s,
            duration_asked_s=params.duration,
            duration_gap_ms=duration.gap_ms,
            silent=silent,
            speech=speaks,
            sound_channels=speech.sound_channels,
        )
        return Result(metadata=metadata, files={"sound": speech.sound, **files})


def _check_speech(context: Context, probabilities: NDArray[np.float32], level: NDArray[np.float32]) -> bool:
    """Whether anybody speaks; warns when nobody does, and when the speech is hardly louder than the noise."""
    if not has_speech(probabilities):
        context.warn(Code.NO_SPEECH, "Nobody speaks in the recording: the mouth will stay closed.")
        return False
    ratio = signal_to_noise_db(level, probabilities)
    if ratio < NOISY_DB:
        message = f"The speech is only {ratio:.0f} dB louder than the noise; the mouth may move at the wrong sounds."
        context.warn(Code.NOISY_AUDIO, message)
    return True
