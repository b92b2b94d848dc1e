"""The judge's parts on made-up material whose answer is known."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stages.encode.evaluation import energy, mouth, phones, sound, sync
from stages.encode.evaluation.crop import Square, crop_square
from stages.encode.evaluation.errors import EvaluationError
from stages.encode.evaluation.faces import FaceDetector
from stages.encode.evaluation.identity import IdentityMeter, load_portrait
from stages.encode.evaluation.lips import Readings, opening
from stages.encode.evaluation.media import Frame, frames
from stages.encode.evaluation.phones import Phone
from stages.encode.evaluation.reference import RATE, Interval, Reference, runs, within
from tests.infer.conftest import SAMPLES


def ramp(width: int = 64, height: int = 48) -> np.ndarray:  # type: ignore[type-arg]
    """Red grows by 2 a pixel to the right, green by 2 a pixel downwards."""
    y, x = np.mgrid[:height, :width]
    return np.stack([2 * x, 2 * y, np.zeros_like(x)], axis=2).astype(np.uint8)


def test_cut_samples_pixel_centres() -> None:
    crop = crop_square(ramp(), Square(20, 16, 8), 8)
    assert crop[..., 0] == pytest.approx(np.tile(2 * np.arange(16, 24), (8, 1)))
    assert crop[..., 1] == pytest.approx(np.tile(2 * np.arange(12, 20), (8, 1)).T)


def test_cut_shrinks_by_means_and_turns() -> None:
    crop = crop_square(ramp(), Square(24, 24, 32), 8)
    assert crop[0, :, 0] == pytest.approx(2 * (8 + 4 * np.arange(8) + 1.5))
    turned = crop_square(ramp(), Square(24, 24, 8, np.pi / 2), 8)
    # Its horizontal runs down the picture.
    assert turned[0, :, 1] == pytest.approx(2 * np.arange(20, 28), abs=0.01)


def test_cut_is_black_outside_the_picture() -> None:
    white = np.full((20, 20, 3), 255, np.uint8)
    crop = crop_square(white, Square(0, 10, 20), 20)
    assert crop[:, :9].max() == 0 and crop[:, 11:].min() == pytest.approx(255)
    assert crop_square(white, Square(500, 500, 10), 5).max() == 0


def test_square_and_its_points() -> None:
    square = Square(10, 20, 4)
    assert square.points(np.array([[0, 0], [1, 1], [0.5, 0.5]])).tolist() == [[8, 18], [12, 22], [10, 20]]


def test_nearest_face_wins_over_the_largest() -> None:
    head = np.asarray(crop_square(next(frames(SAMPLES / "portrait.png")).picture, Square(225, 130, 160), 160), np.uint8)
    picture = np.full((260, 420, 3), 127, np.uint8)
    picture[20:180, 20:180] = head
    picture[100:220:, 280:400] = crop_square(head, Square(80, 80, 160), 120).astype(np.uint8)
    faces = FaceDetector()
    largest = faces.detect(picture)
    assert largest is not None and largest.x < 200
    near = faces.detect(picture, Square(340, 160, 80))
    assert near is not None and near.x > 280
    assert faces.detect(np.full((100, 100, 3), 127, np.uint8)) is None


def test_no_face_in_the_film() -> None:
    film = [Frame(i / 25, np.full((64, 64, 3), 90, np.uint8)) for i in range(7)]
    with pytest.raises(EvaluationError, match="no face"):
        FaceDetector().track(film)


def test_opening_is_in_distances_of_the_eyes() -> None:
    points = np.zeros((1, 68, 2))
    points[0, 45] = (50, 0)
    for upper, lower, gap in ((61, 67, 5), (62, 66, 10), (63, 65, 15)):
        points[0, upper], points[0, lower] = (10, 40), (10, 40 + gap)
    assert opening(points).tolist() == pytest.approx([0.2])


def talk(seconds: float, late: float = 0.0, speed: float = 1.0, fps: float = 25.0) -> tuple[Readings, Reference]:
    """A mouth that follows a wandering reference exactly, late by so much; ``speed`` lets it fall behind."""
    count = int(seconds * RATE)
    wander = np.convolve(np.random.default_rng(0).normal(size=count), np.hanning(15), "same")
    reference = Reference("alignment", wander - wander.min(), (), (), ())
    times = (np.arange(int(seconds * fps)) + 0.5) / fps
    mouth_opening = np.interp((times - late) * speed, (np.arange(count) + 0.5) / RATE, reference.opening)
    return Readings(times, np.zeros((len(times), 68, 2)), mouth_opening), reference


@pytest.mark.parametrize("late", [-0.31, -0.045, 0.0, 0.013, 0.2])
@pytest.mark.parametrize("fps", [24.0, 25.0, 59.94])
def test_offset_at_any_frame_rate(late: float, fps: float) -> None:
    found = sync.measure(*talk(12, late, fps=fps))
    assert found.offset_ms == pytest.approx(late * 1000, abs=4)
    assert found.r is not None and found.r > 0.97
    assert found.drift_ms_per_10s is None, "one window is no drift"


def test_drift() -> None:
    found = sync.measure(*talk(40, speed=1 - 0.004))
    # Four milliseconds a second.
    assert found.drift_ms_per_10s == pytest.approx(40, abs=5)
    assert sync.measure(*talk(40)).drift_ms_per_10s == pytest.approx(0, abs=1)


def test_curve_has_its_top_at_the_offset() -> None:
    shifts, values = sync.curve(*talk(12, 0.1))
    assert shifts[values.argmax()] == pytest.approx(0.1)


def test_moments_of_the_mouth() -> None:
    """Two closures, of which the mouth makes one; a pause in which it stays open half of the time."""
    times = (np.arange(100) + 0.5) / 25
    readings = np.tile([0.2, 0.3], 50)
    readings[10:13] = 0.0
    readings[60:70] = 0.0
    reference = Reference(
        "alignment",
        np.zeros(400),
        (Interval(2.32, 2.88),),
        (Interval(0.42, 0.5), Interval(1.2, 1.28)),
        (Interval(1.52, 1.6),),
    )
    found = mouth.measure(Readings(times, np.zeros((100, 68, 2)), readings), reference)
    assert (found.closures, found.closure_rate) == (2, 0.5)
    # Frames from which a stretch of 80 ms with 40 ms around it reaches frames 10..12, outside the pause.
    assert found.closure_chance == pytest.approx(7 / 86, abs=0.05)
    assert found.closure_lift == pytest.approx(0.5 - 7 / 86, abs=0.05)
    assert found.silence_closed == 1.0
    assert found.vowel_ratio == pytest.approx(0.25 / 0.24, abs=0.05)
    assert found.opening_range == pytest.approx(0.3)


def test_spans() -> None:
    mask = np.array([1, 1, 0, 1, 1, 1, 0], bool)
    assert runs(mask, 10, 0.25) == (Interval(0.3, 0.6),)
    assert within(np.array([0.29, 0.31, 0.45]), [Interval(0.3, 0.6)], 0.1).tolist() == [False, False, True]


def test_phones_to_openings() -> None:
    spoken = [Phone("SIL", 0, 0.5), Phone("M", 0.5, 0.6), Phone("AA", 0.6, 0.9), Phone("AY", 0.9, 1.3)]
    found = phones.expected(spoken, 2.0)
    assert found.silences == (Interval(0, 0.5), Interval(1.3, 2.0))
    assert found.closures == (Interval(0.5, 0.6),)
    assert found.vowels == (Interval(0.6, 0.9), Interval(0.9, 1.3))
    assert found.opening[55] < 0.15 < 0.9 < found.opening[75]
    assert found.opening[95] > 0.8 and found.opening[122] < 0.4, "a diphthong closes"
    assert found.opening[20] == pytest.approx(0) == found.opening[180]
    assert found.speech_s == pytest.approx(0.8)


def test_energy_follows_the_first_formant() -> None:
    t = np.arange(sound.RATE) / sound.RATE
    vowel, hiss = 0.3 * np.sin(2 * np.pi * 700 * t), 0.3 * np.sin(2 * np.pi * 6000 * t)
    found = energy.expected(np.concatenate([vowel, hiss, 0 * t]).astype(np.float32))
    assert found.kind == "energy" and found.closures is None
    assert found.opening[50] > 0.95 and found.opening[150] < 0.05 and found.opening[250] == pytest.approx(0)
    (pause,) = found.silences
    assert (pause.start, pause.end) == (pytest.approx(2.0, abs=0.05), 3.0), "hiss is no pause"
    assert found.vowels[0].length == pytest.approx(1.0, abs=0.05)


def test_noise_without_pauses_has_none() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * sound.RATE).astype(np.float32)
    assert energy.expected(noise).silences == ()
    with pytest.raises(EvaluationError, match="empty"):
        energy.expected(noise[:100])


@pytest.mark.parametrize("late", [-1600, 0, 331])
def test_lateness(late: int) -> None:
    speech = np.random.default_rng(0).normal(0, 0.1, 3 * sound.RATE).astype(np.float32)
    track = np.pad(speech, (max(late, 0), 0))[max(-late, 0) :] * 0.5
    assert sound.delay_ms(track, speech) == pytest.approx(late * 1000 / sound.RATE, abs=0.1)
    other = np.random.default_rng(1).normal(0, 0.1, 3 * sound.RATE).astype(np.float32)
    assert sound.delay_ms(other, speech) is None
    assert sound.delay_ms(0 * speech, speech) is None


def test_a_track_that_begins_late_keeps_its_place(tmp_path: Path) -> None:
    """Half a second of pictures before the sound; 30 frames a second, in Matroska, without priming marks."""
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as file:
        video = file.add_stream("mpeg4", rate=30)
        video.width = video.height = 64
        track = file.add_stream("pcm_s16le", rate=48_000, layout="mono")
        for number in range(45):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 5 * number, np.uint8), "rgb24")
            picture.pts, picture.time_base = number, Fraction(1, 30)
            file.mux(video.encode(picture))
        click = np.zeros((1, 48_000), np.int16)
        click[0, 24_000] = 30_000
        frame = av.AudioFrame.from_ndarray(click, "s16", "mono")
        frame.rate, frame.pts, frame.time_base = 48_000, 24_000, Fraction(1, 48_000)
        file.mux(track.encode(frame))
        file.mux(video.encode(None))
        file.mux(track.encode(None))
    assert np.abs(sound.load(path)).argmax() / sound.RATE == pytest.approx(1.0, abs=0.002)
    times = [frame.time for frame in frames(path)]
    assert len(times) == 45
    assert times[0] == pytest.approx(0.5 / 30, abs=0.001) and times[44] == pytest.approx(44.5 / 30, abs=0.001)


def test_identity_counts_only_what_lies_outside() -> None:
    portrait = np.full((100, 100, 3), 100, np.uint8)
    points = np.tile(np.array([[40.0, 40.0], [60.0, 60.0]]), (1, 34, 1))
    meter = IdentityMeter(portrait, points)
    assert meter.result() is None
    changed = portrait.copy()
    changed[30:70, 30:70] = 0
    meter.add(changed)
    found = meter.result()
    assert found is not None and (found.max_difference, found.psnr_db) == (0, None)
    changed[0, 0, 1] = 90
    meter.add(changed)
    found = meter.result()
    assert found is not None and found.max_difference == 10
    outside = 2 * 3 * (100 * 100 - 44 * 44)
    assert found.psnr_db == pytest.approx(10 * np.log10(255**2 * outside / 100))


def test_portrait_of_another_shape() -> None:
    assert load_portrait(SAMPLES / "portrait.png", 256, 256).shape == (256, 256, 3)
    with pytest.raises(EvaluationError, match="512 x 512 pixels, the video 640 x 512"):
        load_portrait(SAMPLES / "portrait.png", 640, 512)
