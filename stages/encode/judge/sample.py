"""A bounded look at a finished file: a few stretches where the speech changes, every third frame of them.

Against the same files read whole, frame by frame, the offset differs by some 10 ms.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.encode.judge import energy, quality, sound, sync
from stages.encode.judge.crop import Picture, Square
from stages.encode.judge.faces import Faces
from stages.encode.judge.footage import Frame, excerpt
from stages.encode.judge.likeness import Likeness
from stages.encode.judge.lips import LipReader, Readings
from stages.encode.judge.mouth import MOVES
from stages.encode.judge.reference import MIN_SPEECH_S, RATE, Reference, Span, Track

STRETCH_S = 2.0
"""As far as key frames are apart: the decoder starts where the look does."""
EVERY = 3
_FEWEST, _MOST, _SECONDS_A_STRETCH = 5, 10, 4.0
_AT_ONCE = 2
_STRETCH_COSTS = 12
"""Times what it takes to find the face in the portrait, before one was read."""
_CAUTION = 1.3
"""The next stretches may cost more than the last: other work on the machine comes and goes."""
_MIN_READINGS = 30
_LOCKED, _CHANCE = 0.45, 3.2
"""Correlation from which an offset counts: at least the one, and the other over the root of the number of readings. Of
99 pairs of a mouth with somebody else's speech, 50 to 84 readings each, one in a hundred passes."""
_MIN_FOUND = 0.5
_AROUND = 4.0
"""Side of the window around the animated face, in faces: what is beside it is cut off, and a small one is seen."""

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the sample shows."""

    offset_ms: float | None
    """The mouth against the file's own sound; positive: the video is late. None without enough speech, enough visible
    mouth, or a correlation beyond chance."""
    quality: float | None
    """0..1; None when the time allowed for no frame."""


class Sampler:
    """The judge's networks, loaded once."""

    def __init__(self) -> None:
        self._faces = Faces()
        self._lips = LipReader()

    def look(self, video: Path, portrait: Picture, budget_s: float, *, speech: bool, box: Box | None = None) -> Look:
        """Judge a file by stretches read until the time is used up, those that tell the most first.

        portrait: [H, W, 3] as large as the video. speech: whether anybody speaks; else no mouth is compared. box: the
        animated face, else the largest. The same file gives the same figures as long as the time suffices. No figures
        where the portrait's own face is not found: upside down, say. Raises Unjudgeable.
        """
        begun = time.monotonic()
        heard = sound.load(video)
        reference = energy.expected(heard)
        before = time.thread_time()  # not the clock: a hiccup here must not cost the whole look
        window = _window(portrait, box)
        face = self._faces.find(portrait, window and window.grown(1 / _AROUND), window)
        if face is None:
            return Look(None, None)
        likeness = Likeness(portrait, face)
        dearest = _STRETCH_COSTS * (time.thread_time() - before)
        parts: list[tuple[Readings, Track]] = []
        looks, left = 0, stretches(reference)
        with ThreadPoolExecutor(_AT_ONCE) as pool:  # libav and ONNX Runtime leave the interpreter free
            while left and time.monotonic() + _CAUTION * dearest <= begun + budget_s:
                started = time.monotonic()
                spans, left = left[:_AT_ONCE], left[_AT_ONCE:]
                looks += len(spans)
                read = pool.map(lambda span: self._stretch(video, span, face, likeness, window), spans)
                parts += [part for part in read if part is not None]
                dearest = max(dearest, time.monotonic() - started)
        if not parts:
            return Look(None, 0.0 if looks else None)
        parts.sort(key=lambda part: float(part[0].times[0]))
        readings = Readings.joined([part for part, _ in parts])
        pictures = np.concatenate([there for _, there in parts])
        found = len(parts) / looks
        heard_speech = speech and reference.speech_s >= MIN_SPEECH_S
        rated = quality.measure(readings, pictures, reference if heard_speech else None, found)
        return Look(
            _offset(readings, reference) if heard_speech and found >= _MIN_FOUND else None, round(rated.render, 3)
        )

    def _stretch(
        self, video: Path, span: Span, face: Square, likeness: Likeness, window: Square | None
    ) -> tuple[Readings, Track] | None:
        """Mouth and picture of one stretch; None where no face is in its middle."""
        frames = list(excerpt(video, span, EVERY))
        square = self._faces.find(frames[len(frames) // 2].picture, face, window) if frames else None
        if square is None:
            return None
        return self._lips.read_steady(frames, square), _face_left(likeness, frames, square)


def _window(portrait: Picture, box: Box | None) -> Square | None:
    """Where to look for the animated face: the box and its surroundings."""
    if box is None:
        return None
    x0, y0, x1, y1 = box
    return Square((x0 + x1) / 2, (y0 + y1) / 2, min(_AROUND * max(x1 - x0, y1 - y0), float(max(portrait.shape[:2]))))


def _face_left(likeness: Likeness, frames: list[Frame], square: Square) -> Track:
    """[frames] by every fourth of them."""
    return np.repeat([likeness.of(frame.picture, square) for frame in frames[::4]], 4)[: len(frames)]


def stretches(reference: Reference) -> list[Span]:
    """Where to look: of each equal part of the film the stretch whose expected opening changes most, best first."""
    whole = reference.duration
    count = int(whole / STRETCH_S)
    if count < 2:
        return [Span(0.0, whole)]
    starts = np.arange(count) * STRETCH_S
    size = round(STRETCH_S * RATE)
    change = np.array([reference.opening[int(start * RATE) :][:size].std() for start in starts.tolist()])
    wanted = int(np.clip(whole / _SECONDS_A_STRETCH, _FEWEST, _MOST))
    parts = np.array_split(np.arange(count), min(wanted, count))
    best = sorted((int(part[change[part].argmax()]) for part in parts), key=lambda n: (-change[n], n))
    return [Span(float(starts[n]), float(starts[n]) + STRETCH_S) for n in best]


def _offset(readings: Readings, reference: Reference) -> float | None:
    readings = readings.until(reference.duration)
    count = len(readings.times)
    if count < _MIN_READINGS or readings.range < MOVES:
        return None
    _, offset = sync.best(readings, reference, max(_LOCKED, _CHANCE / float(np.sqrt(count))))
    return None if offset is None else round(offset, 1)
