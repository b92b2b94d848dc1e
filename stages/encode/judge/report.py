"""One video judged: all figures, in the form that ``--json`` prints."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stages.encode.check import measure as measure_container
from stages.encode.judge import mouth, sound, sync
from stages.encode.judge.errors import Unjudgeable
from stages.encode.judge.faces import Faces
from stages.encode.judge.footage import Frame, frames
from stages.encode.judge.identity import Identity, IdentityMeter, load_portrait
from stages.encode.judge.lips import LipReader, Readings
from stages.encode.judge.mouth import Mouth
from stages.encode.judge.reference import MIN_SPEECH_S, Reference
from stages.encode.judge.sync import Sync


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured."""

    reference: Reference
    readings: Readings
    sync: Sync
    mouth: Mouth
    faces_found: float
    identity: Identity | None
    sound_late_ms: float | None
    container: dict[str, Any]

    def figures(self) -> dict[str, Any]:
        """Flat names as users and tests rely on them; None where a figure is not to be had, never 0."""
        offset, late = self.sync.offset_ms, self.sound_late_ms
        return {
            "reference": self.reference.kind,
            "speech_s": self.reference.speech_s,
            "frames": len(self.readings.times),
            "faces_found": self.faces_found,
            "sync_r": self.sync.r,
            "r_unshifted": self.sync.r_unshifted,
            "r_control": self.sync.r_control,
            "av_offset_ms": offset,
            "heard_offset_ms": None if offset is None or late is None else offset - late,
            "drift_ms_per_10s": self.sync.drift_ms_per_10s,
            "opening_range": self.mouth.opening_range,
            "closures": self.mouth.closures,
            "closure_rate": self.mouth.closure_rate,
            "closure_chance": self.mouth.closure_chance,
            "closure_lift": self.mouth.closure_lift,
            "silence_closed": self.mouth.silence_closed,
            "vowel_ratio": self.mouth.vowel_ratio,
            "jitter": self.mouth.jitter,
            "identity": None if self.identity is None else asdict(self.identity),
            "container": {**self.container, "sound_late_ms": late},
        }


def judge(video: Path, speech: sound.Sound, reference: Reference, portrait: Path | None = None) -> Report:
    """Measure a video against the reference of its speech, which is laid at the file's zero.

    Reads the file twice or, with a portrait, three times, and keeps no frames. Raises Unjudgeable.
    """
    path = Faces().follow(frames(video))
    readings = LipReader().read(frames(video), path.squares).until(reference.duration)
    if len(readings.times) < 3:
        raise Unjudgeable("less than three frames lie within the speech")
    enough = reference.speech_s >= MIN_SPEECH_S
    return Report(
        reference=reference,
        readings=readings,
        sync=sync.measure(readings, reference) if enough else sync.NOTHING,
        mouth=mouth.measure(readings, reference),
        faces_found=path.found,
        identity=_identity(portrait, readings, frames(video)) if portrait else None,
        sound_late_ms=_lateness(video, speech),
        container=_container(video),
    )


def _identity(portrait: Path, readings: Readings, film: Iterator[Frame]) -> Identity | None:
    meter: IdentityMeter | None = None
    for frame in film:
        if meter is None:
            height, width = frame.picture.shape[:2]
            meter = IdentityMeter(load_portrait(portrait, width, height), readings.points)
        meter.add(frame.picture)
    return meter.result() if meter else None


def _lateness(video: Path, speech: sound.Sound) -> float | None:
    try:
        return sound.lateness_ms(sound.load(video), speech)
    except Unjudgeable:
        return None  # silent films have no sound that could be late


def _container(video: Path) -> dict[str, Any]:
    """Figures of the packets, or what is wrong with them: a file of others need not keep our rules."""
    try:
        found = measure_container(video)
    except ValueError as e:
        return {"fault": str(e)}
    return {**asdict(found), "fps": float(found.fps)}
