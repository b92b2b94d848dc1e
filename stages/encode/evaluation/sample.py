"""A time-limited measurement of a finished file: a few intervals where the speech changes, every third frame of them.

Against the same files measured frame by frame the offset differs by some 10 ms.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.encode.evaluation import energy, quality, sound, sync
from stages.encode.evaluation.crop import Picture, Square
from stages.encode.evaluation.faces import FaceDetector
from stages.encode.evaluation.likeness import Likeness
from stages.encode.evaluation.lips import LipReader, Readings
from stages.encode.evaluation.media import Frame, excerpt
from stages.encode.evaluation.mouth import MOVES
from stages.encode.evaluation.reference import MIN_SPEECH_S, RATE, Interval, Reference, Track

INTERVAL_S = 2.0
"""The distance of key frames: decoding starts where the interval does."""
EVERY = 3
_MIN_INTERVALS, _MAX_INTERVALS, _SECONDS_PER_INTERVAL = 5, 10, 4.0
_PARALLEL = 2
_FIRST_COST = 12
"""Estimated cost of the first intervals, in detections of the portrait's face."""
COST_MARGIN = 1.3
"""The next intervals may cost more than the last: the load of the machine varies."""
_MIN_READINGS = 30
_MIN_CORRELATION, _CHANCE = 0.45, 3.2
"""An offset counts from this correlation, and from _CHANCE divided by the root of the number of readings. Of 99 pairs
of a mouth with somebody else's speech, 50 to 84 readings each, one in a hundred exceeds both."""
_MIN_DETECTION_RATE = 0.5
_WINDOW = 4.0
"""Side of the searched window in faces: it excludes what is beside the animated face, and enlarges a small one."""

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels."""


Measured = tuple[Readings, Track]
"""Mouth and likeness of one interval."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a file shows, and what is expected of the mouth."""

    likeness: Likeness
    face: Square
    window: Square | None
    reference: Reference


@dataclass(frozen=True, slots=True)
class QualitySample:
    """The result of a time-limited measurement."""

    offset_ms: float | None
    """The mouth against the file's own sound; positive: the video is late. None without enough speech, enough visible
    mouth, or a correlation above chance."""
    quality: float | None
    """0..1; None when the time allowed for no frame."""


class Sampler:
    """The evaluation's networks, loaded once."""

    def __init__(self) -> None:
        self._detector = FaceDetector()
        self._lips = LipReader()

    def measure(
        self, video: Path, portrait: Picture, budget_s: float, *, speech: bool, box: Box | None = None
    ) -> QualitySample:
        """Measure intervals of a file, the most informative first, until ``budget_s`` seconds are used.

        portrait: [H, W, 3], the size of the video; speech: whether anybody speaks, else no mouth is compared; box: the
        animated face, by default the largest. Equal files give equal results when the time suffices. Both results are
        None when no face is found in the portrait, for example upside down. Raises EvaluationError.
        """
        start = time.monotonic()
        recording = sound.load(video)
        reference = energy.expected(recording)
        cpu_start = time.thread_time()  # CPU time: a delay of the machine here must not cost the whole measurement
        subject = self.subject(portrait, reference, box)
        if subject is None:
            return QualitySample(None, None)
        cost_s = _FIRST_COST * (time.thread_time() - cpu_start)
        parts: list[Measured] = []
        attempts, remaining = 0, sample_intervals(reference)
        with ThreadPoolExecutor(_PARALLEL) as pool:  # libav and ONNX Runtime release the interpreter lock
            while remaining and time.monotonic() + COST_MARGIN * cost_s <= start + budget_s:
                batch_start = time.monotonic()
                batch, remaining = remaining[:_PARALLEL], remaining[_PARALLEL:]
                attempts += len(batch)
                results = pool.map(lambda one: self.interval(list(excerpt(video, one, EVERY)), subject), batch)
                parts += [part for part in results if part is not None]
                cost_s = max(cost_s, time.monotonic() - batch_start)
        return self.score(parts, attempts, subject, speech=speech)

    def subject(self, portrait: Picture, reference: Reference, box: Box | None) -> Subject | None:
        """The face to look for; None when the portrait shows none. ``reference`` is of the file's sound."""
        window = _window(portrait, box)
        face = self._detector.detect(portrait, window and window.scaled(1 / _WINDOW), window)
        return None if face is None else Subject(Likeness(portrait, face), face, window, reference)

    def score(self, parts: list[Measured], attempts: int, subject: Subject, *, speech: bool) -> QualitySample:
        """The result of ``attempts`` intervals, of which ``parts`` show a face."""
        if not parts:
            return QualitySample(None, 0.0 if attempts else None)
        reference = subject.reference
        parts = sorted(parts, key=lambda part: float(part[0].times[0]))
        readings = Readings.concatenate([part for part, _ in parts])
        pictures = np.concatenate([likenesses for _, likenesses in parts])
        detection_rate = len(parts) / attempts
        has_speech = speech and reference.speech_s >= MIN_SPEECH_S
        score = quality.measure(readings, pictures, reference if has_speech else None, detection_rate)
        offset = _offset(readings, reference) if has_speech and detection_rate >= _MIN_DETECTION_RATE else None
        return QualitySample(offset, round(score.render, 3))

    def interval(self, frames: list[Frame], subject: Subject) -> Measured | None:
        """Mouth and likeness of one interval; None when its middle frame shows no face."""
        middle = frames[len(frames) // 2].picture if frames else None
        square = self._detector.detect(middle, subject.face, subject.window) if middle is not None else None
        if square is None:
            return None
        return self._lips.read_once(frames, square), _likenesses(subject.likeness, frames, square)


def _window(portrait: Picture, box: Box | None) -> Square | None:
    """The searched part of the picture: the box and its surroundings."""
    if box is None:
        return None
    x0, y0, x1, y1 = box
    return Square((x0 + x1) / 2, (y0 + y1) / 2, min(_WINDOW * max(x1 - x0, y1 - y0), float(max(portrait.shape[:2]))))


def _likenesses(likeness: Likeness, frames: list[Frame], square: Square) -> Track:
    """[frames], from every fourth of them."""
    return np.repeat([likeness.score(frame.picture, square) for frame in frames[::4]], 4)[: len(frames)]


def sample_intervals(reference: Reference) -> list[Interval]:
    """Of each equal part of the video the interval whose expected opening changes most, in order of that change."""
    duration = reference.duration
    count = int(duration / INTERVAL_S)
    if count < 2:
        return [Interval(0.0, duration)]
    starts = np.arange(count) * INTERVAL_S
    size = round(INTERVAL_S * RATE)
    change = np.array([reference.opening[int(start * RATE) :][:size].std() for start in starts.tolist()])
    wanted = int(np.clip(duration / _SECONDS_PER_INTERVAL, _MIN_INTERVALS, _MAX_INTERVALS))
    parts = np.array_split(np.arange(count), min(wanted, count))
    best = sorted((int(part[change[part].argmax()]) for part in parts), key=lambda n: (-change[n], n))
    return [Interval(float(starts[n]), float(starts[n]) + INTERVAL_S) for n in best]


def _offset(readings: Readings, reference: Reference) -> float | None:
    readings = readings.until(reference.duration)
    count = len(readings.times)
    if count < _MIN_READINGS or readings.range < MOVES:
        return None
    _, offset = sync.best_shift(readings, reference, max(_MIN_CORRELATION, _CHANCE / float(np.sqrt(count))))
    return None if offset is None else round(offset, 1)
