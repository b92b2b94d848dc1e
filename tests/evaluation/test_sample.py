"""The encode stage's look at its finished file: told offsets are told, and what can't be told is absent."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stages.encode.evaluation import energy, sound, sync
from stages.encode.evaluation.faces import FaceDetector
from stages.encode.evaluation.media import excerpt, frames
from stages.encode.evaluation.reference import Interval, Reference
from stages.encode.evaluation.report import Report
from stages.encode.evaluation.sample import QualitySample, Sampler, sample_intervals
from stages.infer.i420 import to_i420
from tests.evaluation.conftest import Film

WITHIN_MS = 25


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return Sampler()


def look(sampler: Sampler, film: Film, path: Path, *, speech: bool = True) -> QualitySample:
    return sampler.measure(path, film.portrait, 1000.0, speech=speech)


def test_the_stage_tells_what_it_saw(sample: Film) -> None:
    assert sample.metadata.lip_offset_ms == pytest.approx(0, abs=40)
    assert sample.metadata.quality is not None and sample.metadata.quality > 0.9
    assert sample.metadata.audio_drift_ms == round(max(abs(sample.metadata.lip_offset_ms or 0), 10))


@pytest.mark.parametrize("late_ms", [-200, -80, 80, 200])
def test_shifted_sound_is_told(sampler: Sampler, sample: Film, tmp_path: Path, late_ms: int) -> None:
    """Sound that comes later makes the video early."""
    found = look(sampler, sample, sample.again(tmp_path / "v.mp4", late_s=late_ms / 1000))
    assert found.offset_ms is not None and sample.metadata.lip_offset_ms is not None
    assert found.offset_ms - sample.metadata.lip_offset_ms == pytest.approx(-late_ms, abs=WITHIN_MS)


def other_sound(film: Film, wave: NDArray[np.float64]) -> Film:
    """Another recording, [n] at 48 kHz, under the same frames."""
    return Film(film.path, film.frames, wave.astype(np.float32)[:, None], film.portrait, film.metadata)


def music(seconds: float) -> NDArray[np.float64]:
    """Chords of three decaying tones, four a second."""
    t = np.arange(int(0.25 * 48_000)) / 48_000
    rng = np.random.default_rng(0)
    chords = [
        sum(np.sin(2 * np.pi * hertz * t) for hertz in rng.choice([262, 330, 392, 440, 523, 587], 3)) * np.exp(-4 * t)
        for _ in range(int(seconds * 4))
    ]
    return 0.1 * np.concatenate(chords)


def shuffled(film: Film) -> NDArray[np.float64]:
    pieces = np.array_split(film.sound[:, 0], 20)
    return np.concatenate([pieces[i] for i in np.random.default_rng(0).permutation(20)])


def test_quality_ranks(sampler: Sampler, sample: Film, tmp_path: Path) -> None:
    """In sync, then out of it, then a mouth that never moves, then a face that is hardly one."""
    still = np.repeat(sample.frames[:1], len(sample.frames), axis=0)
    blurred = np.stack([cv2.GaussianBlur(frame[:512], (0, 0), 2.0) for frame in sample.frames])
    films = {
        "as rendered": sample.path,
        "shuffled": other_sound(sample, shuffled(sample)).again(tmp_path / "shuffled.mp4"),
        "frozen": sample.again(tmp_path / "frozen.mp4", still),
        "blurred": sample.again(tmp_path / "blurred.mp4", np.concatenate([blurred, sample.frames[:, 512:]], axis=1)),
    }
    found = {name: look(sampler, sample, path) for name, path in films.items()}
    rated = [found[name].quality or 0.0 for name in films]
    assert rated == sorted(rated, reverse=True) and len(set(rated)) == len(rated), found
    assert rated[0] > 0.9 and rated[1] < 0.6 and rated[2] <= 0.25 and rated[3] < 0.15
    assert [found[name].offset_ms for name in ("shuffled", "frozen")] == [None, None]


def test_music_has_no_offset(sampler: Sampler, sample: Film, tmp_path: Path) -> None:
    film = other_sound(sample, music(10))
    path = film.again(tmp_path / "v.mp4")
    assert look(sampler, film, path).offset_ms is None
    told = look(sampler, film, path, speech=False)
    assert told.offset_ms is None
    assert told.quality is not None and told.quality > 0.9, "nobody speaks: only the picture counts"


def test_silence_and_short_films_have_no_offset(sampler: Sampler, sample: Film, tmp_path: Path) -> None:
    silent = other_sound(sample, np.zeros(480_000))
    assert look(sampler, silent, silent.again(tmp_path / "silent.mp4")).offset_ms is None
    short = Film(sample.path, sample.frames[:40], sample.sound[: 40 * 1920], sample.portrait, sample.metadata)
    assert look(sampler, short, short.again(tmp_path / "short.mp4")).offset_ms is None


def test_the_same_file_gives_the_same(sampler: Sampler, sample: Film) -> None:
    assert look(sampler, sample, sample.path) == look(sampler, sample, sample.path)


def test_no_time_no_figures(sampler: Sampler, sample: Film) -> None:
    assert sampler.measure(sample.path, sample.portrait, 0.0, speech=True) == QualitySample(None, None)


def test_stretches_are_spread_over_where_speech_changes() -> None:
    opening = np.zeros(60 * 100)
    opening[1000:1100] = opening[4900:4930] = 1.0
    found = sample_intervals(Reference("energy", opening, (), None, ()))
    assert len(found) == 10
    assert found[0] == Interval(10.0, 12.0), "what changes most comes first"
    assert len({int(span.start // 6) for span in found}) == 10, "one of each tenth"
    assert sample_intervals(Reference("energy", opening[:300], (), None, ())) == [Interval(0.0, 3.0)]


def test_excerpt_is_what_the_whole_shows(sample: Film) -> None:
    whole = {round(frame.time, 3): frame.picture for frame in frames(sample.path)}
    part = list(excerpt(sample.path, Interval(3.0, 5.0), 3))
    assert len(part) == 17 and all(3.0 <= frame.time < 5.0 for frame in part)
    assert all((whole[round(frame.time, 3)] == frame.picture).all() for frame in part)


def test_the_sample_agrees_with_the_whole(sampler: Sampler, sample: Film, evaluated: Report) -> None:
    """Read frame by frame against the same reference."""
    _, whole = sync.best_shift(evaluated.readings, energy.expected(sound.load(sample.path)))
    found = look(sampler, sample, sample.path)
    assert whole is not None and found.offset_ms == pytest.approx(whole, abs=WITHIN_MS)


def test_the_animated_face_is_judged_not_the_largest(sampler: Sampler, sample: Film, tmp_path: Path) -> None:
    """A second, larger, still face beside the one that speaks."""
    small, face = 0.5, sample.portrait
    height, width = face.shape[:2]

    def beside(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        canvas = np.zeros((height, 2 * width, 3), np.uint8)
        canvas[:, :width] = face
        reduced = cv2.resize(picture, None, fx=small, fy=small, interpolation=cv2.INTER_AREA)
        canvas[: height // 2, width : width + width // 2] = reduced
        return canvas

    both = [to_i420(beside(np.asarray(cv2.cvtColor(f, cv2.COLOR_YUV2RGB_I420), np.uint8))) for f in sample.frames]
    film = Film(sample.path, np.stack(both), sample.sound, beside(face), sample.metadata)
    path = film.again(tmp_path / "v.mp4")
    square = FaceDetector().detect(face)
    assert square is not None
    x, y, half = square.x * small + width, square.y * small, square.side * small / 2
    box = (x - half, y - half, x + half, y + half)
    found = sampler.measure(path, film.portrait, 1000.0, speech=True, box=box)
    assert found.offset_ms == pytest.approx(sample.metadata.lip_offset_ms, abs=WITHIN_MS)
    largest = sampler.measure(path, film.portrait, 1000.0, speech=True)
    assert largest.offset_ms is None


def test_a_portrait_whose_face_is_not_found_gives_no_figures(sampler: Sampler, sample: Film) -> None:
    gray = np.full_like(sample.portrait, 127)
    assert sampler.measure(sample.path, gray, 1000.0, speech=True) == QualitySample(None, None)
