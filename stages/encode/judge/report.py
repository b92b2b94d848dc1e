"""One video judged: all figures, in the form that ``--json`` prints."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from stages.encode.check import measure as measure_container
from stages.encode.judge import energy, mouth, quality, sound, sync
from stages.encode.judge.crop import Square
from stages.encode.judge.errors import Unjudgeable
from stages.encode.judge.faces import LOOK_EVERY, Faces
from stages.encode.judge.footage import Frame, frames
from stages.encode.judge.identity import Identity, IdentityMeter, load_portrait
from stages.encode.judge.likeness import Likeness
from stages.encode.judge.lips import LipReader, Readings
from stages.encode.judge.mouth import Mouth
from stages.encode.judge.quality import Quality
from stages.encode.judge.reference import MIN_SPEECH_S, Reference, Track
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
    quality: Quality
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
            "quality": self.quality.render,
            "identity": None if self.identity is None else asdict(self.identity),
            "container": {**self.container, "sound_late_ms": late},
            "per_frame": {
                "time_s": self.readings.times.tolist(),
                "opening": self.readings.opening.tolist(),
                "quality": self.quality.frames.tolist(),
            },
        }


def judge(video: Path, speech: sound.Sound, reference: Reference, portrait: Path | None = None) -> Report:
    """Measure a video against the reference of its speech, which is laid at the file's zero.

    Reads the file twice or, with a portrait, three times, and keeps no frames. Raises Unjudgeable.
    """
    faces = Faces()
    path = faces.follow(frames(video))
    readings = LipReader().read(frames(video), path.squares).until(reference.duration)
    if len(readings.times) < 3:
        raise Unjudgeable("less than three frames lie within the speech")
    heard = _heard(video)
    likeness = np.ones(len(readings.times))
    identity = None
    if portrait:
        identity, likeness = _compared(portrait, faces, readings, path.squares, frames(video))
    enough = reference.speech_s >= MIN_SPEECH_S
    return Report(
        reference=reference,
        readings=readings,
        sync=sync.measure(readings, reference) if enough else sync.NOTHING,
        mouth=mouth.measure(readings, reference),
        faces_found=path.found,
        identity=identity,
        quality=quality.measure(
            readings, likeness, energy.expected(heard) if heard is not None else None, found=path.found
        ),
        sound_late_ms=None if heard is None else sound.lateness_ms(heard, speech),
        container=_container(video),
    )


SAME_SIZE = 1.3
"""The face of the video in faces of the portrait, at most: the head moves, but does not come so much nearer."""


def _compared(
    portrait: Path, faces: Faces, readings: Readings, squares: Sequence[Square], film: Iterator[Frame]
) -> tuple[Identity | None, Track]:
    """What is left of the portrait around the face, and [n] in it; the latter by every fifth frame."""
    meter: IdentityMeter | None = None
    likeness: Likeness | None = None
    found: list[float] = []
    pairs = islice(zip(film, squares, strict=False), len(readings.times))
    for number, (frame, square) in enumerate(pairs):
        if meter is None:
            height, width = frame.picture.shape[:2]
            picture = load_portrait(portrait, width, height)
            meter = IdentityMeter(picture, readings.points)
            face = faces.find(picture)
            if face and not 1 / SAME_SIZE < face.side / square.side < SAME_SIZE:
                raise Unjudgeable("the video shows another part of the picture than the portrait: give the part shown")
            likeness = Likeness(picture, face) if face else None
        meter.add(frame.picture)
        if number % LOOK_EVERY == 0 and likeness is not None:
            found += [likeness.of(frame.picture, square)] * LOOK_EVERY
    known = np.array(found[: len(readings.times)]) if found else np.ones(len(readings.times))
    return meter.result() if meter else None, known


def _heard(video: Path) -> sound.Sound | None:
    try:
        return sound.load(video)
    except Unjudgeable:
        return None  # silent films have no sound that could be late


def _container(video: Path) -> dict[str, Any]:
    """Figures of the packets, or what is wrong with them: a file of others need not keep our rules."""
    try:
        found = measure_container(video)
    except ValueError as e:
        return {"fault": str(e)}
    return {**asdict(found), "fps": float(found.fps)}
