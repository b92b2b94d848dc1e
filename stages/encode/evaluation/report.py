"""Evaluates one video: all metrics, in the form that ``--json`` prints."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from stages.encode.container import measure_container
from stages.encode.evaluation import energy, mouth, quality, sound, sync
from stages.encode.evaluation.crop import Square
from stages.encode.evaluation.errors import EvaluationError
from stages.encode.evaluation.faces import DETECT_EVERY, FaceDetector
from stages.encode.evaluation.identity import Identity, IdentityMeter, load_portrait
from stages.encode.evaluation.likeness import Likeness
from stages.encode.evaluation.lips import LipReader, Readings
from stages.encode.evaluation.media import Frame, frames
from stages.encode.evaluation.mouth import MouthMetrics
from stages.encode.evaluation.quality import Quality
from stages.encode.evaluation.reference import MIN_SPEECH_S, Reference, Track
from stages.encode.evaluation.sync import SyncMetrics

MAX_SIZE_RATIO = 1.3
"""Size of the video's face relative to the portrait's, at most: a moving head does not come nearer than that."""


@dataclass(frozen=True, slots=True)
class Report:
    """The results of one video."""

    reference: Reference
    readings: Readings
    sync: SyncMetrics
    mouth: MouthMetrics
    detection_rate: float
    identity: Identity | None
    quality: Quality
    sound_delay_ms: float | None
    container: dict[str, Any]

    def metrics(self) -> dict[str, Any]:
        """Flat metric names that users and tests rely on; None where a metric can't be measured, never 0."""
        offset, delay = self.sync.offset_ms, self.sound_delay_ms
        return {
            "reference": self.reference.kind,
            "speech_s": self.reference.speech_s,
            "frames": len(self.readings.times),
            "faces_found": self.detection_rate,
            "sync_r": self.sync.r,
            "r_unshifted": self.sync.r_unshifted,
            "r_control": self.sync.r_control,
            "av_offset_ms": offset,
            "heard_offset_ms": None if offset is None or delay is None else offset - delay,
            "drift_ms_per_10s": self.sync.drift_ms_per_10s,
            "opening_range": self.mouth.opening_range,
            "closures": self.mouth.closures,
            "closure_rate": self.mouth.closure_rate,
            "closure_chance": self.mouth.closure_chance,
            "closure_lift": self.mouth.closure_lift,
            "silence_closed": self.mouth.silence_closed,
            "vowel_ratio": self.mouth.vowel_ratio,
            "jitter": self.mouth.jitter,
            "quality": self.quality.render,
            "identity": None if self.identity is None else asdict(self.identity),
            "container": {**self.container, "sound_late_ms": delay},
            "per_frame": {
                "time_s": self.readings.times.tolist(),
                "opening": self.readings.opening.tolist(),
                "quality": self.quality.frames.tolist(),
            },
        }


def evaluate(video: Path, speech: sound.Sound, reference: Reference, portrait: Path | None = None) -> Report:
    """Measure a video against the reference of its speech, which starts at the file's zero.

    Reads the file twice or, with a portrait, three times, and holds no frames. Raises EvaluationError.
    """
    detector = FaceDetector()
    track = detector.track(frames(video))
    readings = LipReader().read(frames(video), track.squares).until(reference.duration)
    if len(readings.times) < 3:
        raise EvaluationError("fewer than three frames lie within the speech")
    own_sound = _own_sound(video)
    likeness = np.ones(len(readings.times))
    identity = None
    if portrait:
        identity, likeness = _compare(portrait, detector, readings, track.squares, frames(video))
    has_speech = reference.speech_s >= MIN_SPEECH_S
    own_reference = None if own_sound is None else energy.expected(own_sound)
    return Report(
        reference=reference,
        readings=readings,
        sync=sync.measure(readings, reference) if has_speech else sync.NO_SYNC,
        mouth=mouth.measure(readings, reference),
        detection_rate=track.detection_rate,
        identity=identity,
        quality=quality.measure(readings, likeness, own_reference, track.detection_rate),
        sound_delay_ms=None if own_sound is None else sound.delay_ms(own_sound, speech),
        container=_container(video),
    )


def _compare(
    portrait: Path, detector: FaceDetector, readings: Readings, squares: Sequence[Square], video: Iterator[Frame]
) -> tuple[Identity | None, Track]:
    """The difference from the portrait around the face, and the likeness [n] of the face, from every fifth frame."""
    meter: IdentityMeter | None = None
    likeness: Likeness | None = None
    scores: list[float] = []
    pairs = islice(zip(video, squares, strict=False), len(readings.times))
    for number, (frame, square) in enumerate(pairs):
        if meter is None:
            height, width = frame.picture.shape[:2]
            picture = load_portrait(portrait, width, height)
            meter = IdentityMeter(picture, readings.points)
            face = detector.detect(picture)
            if face and not 1 / MAX_SIZE_RATIO < face.side / square.side < MAX_SIZE_RATIO:
                raise EvaluationError(
                    "the video shows another part of the picture than the portrait",
                    "crop the portrait to the part that the video shows",
                )
            likeness = Likeness(picture, face) if face else None
        meter.add(frame.picture)
        if number % DETECT_EVERY == 0 and likeness is not None:
            scores += [likeness.score(frame.picture, square)] * DETECT_EVERY
    track = np.array(scores[: len(readings.times)]) if scores else np.ones(len(readings.times))
    return meter.result() if meter else None, track


def _own_sound(video: Path) -> sound.Sound | None:
    try:
        return sound.load(video)
    except EvaluationError:
        return None  # a silent video has no sound track


def _container(video: Path) -> dict[str, Any]:
    """Metrics of the packets, or the fault: a file of other software may break the rules of the encode stage."""
    try:
        metrics = measure_container(video)
    except ValueError as e:
        return {"fault": str(e)}
    return {**asdict(metrics), "fps": float(metrics.fps)}
