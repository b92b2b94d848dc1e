"""Speech to movement: visemes, silence, amplitude, idle motion."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from shared.messages.engines import PuppetParams
from stages.infer.engine import Portrait, RenderParams, Speech
from stages.infer.puppet.articulation import CLOSE, MOUTH, OPEN, closed_mouth, mouth_track
from stages.infer.puppet.engine import PuppetAnimation, PuppetEngine
from stages.infer.puppet.head import MOTIONS, PITCH, YAW
from stages.infer.puppet.idle import blink_track, gaze_track, generator, head_track
from stages.infer.puppet.prosody import accents, phrases
from stages.infer.puppet.renderer import MouthPose
from stages.infer.puppet.visemes import CLASSES, RATE, SILENCE, VisemeModel, Visemes


@pytest.fixture(scope="module")
def model() -> VisemeModel:
    return VisemeModel()


@pytest.fixture(scope="module")
def engine() -> PuppetEngine:
    engine = PuppetEngine()
    engine.load()
    return engine


def one_hot(*names_and_frames: tuple[str, int]) -> np.ndarray:  # type: ignore[type-arg]
    rows = [CLASSES.index(name) for name, frames in names_and_frames for _ in range(frames)]
    return np.eye(len(CLASSES), dtype=np.float32)[rows]


def visemes(opening: float, *names_and_frames: tuple[str, int]) -> Visemes:
    """As wide as given wherever the lips don't meet."""
    shapes = one_hot(*names_and_frames)
    meets = shapes[:, [CLASSES.index("PBM"), SILENCE]].any(axis=1)
    return Visemes(shapes, np.where(meets, 0, opening).astype(np.float32))


def loud(frames: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.full(frames * 2, -20.0, np.float32)


def apertures(track: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    return np.array([MouthPose(*row.tolist()).aperture() for row in track])


def test_real_speech_gives_distributions_over_classes(model: VisemeModel, speech: Speech) -> None:
    track = model(speech.mel)
    count = (speech.mel.shape[1] + 1) // 2
    assert track.shapes.shape == (count, len(CLASSES)) and track.opening.shape == (count,)
    assert np.allclose(track.shapes.sum(axis=1), 1, atol=1e-3)
    assert len(set(track.shapes.argmax(axis=1).tolist())) > 5
    assert track.opening.min() < 0.1 and 0.6 < track.opening.max() <= 1


def test_same_speech_gives_the_same_visemes(model: VisemeModel, speech: Speech) -> None:
    first, again, other = model(speech.mel), model(speech.mel), VisemeModel()(speech.mel)
    for second in (again, other):
        assert np.array_equal(first.shapes, second.shapes) and np.array_equal(first.opening, second.opening)


def test_windows_join_seamlessly(model: VisemeModel, speech: Speech) -> None:
    mel = np.tile(speech.mel, (1, 8))[:, :1751]
    track = model(mel)
    assert track.shapes.shape[0] == len(track.opening) == 876
    assert np.allclose(track.shapes.sum(axis=1), 1, atol=1e-3)
    alone = model(mel[:, :1000])
    assert np.array_equal(track.shapes[:450], alone.shapes[:450])
    assert np.array_equal(track.opening[:450], alone.opening[:450])


@pytest.mark.parametrize("columns", [1, 2, 20, 21, 1000, 1001])
def test_speech_of_any_length_gives_a_frame_each(model: VisemeModel, columns: int) -> None:
    track = model(np.zeros((80, columns), np.float32))
    count = (columns + 1) // 2
    assert track.shapes.shape == (count, len(CLASSES)) and track.opening.shape == (count,)
    assert np.isfinite(track.shapes).all() and np.isfinite(track.opening).all()


def test_lips_meet_on_bilabials_only() -> None:
    spoken = visemes(0.9, ("A", 12), ("PBM", 5), ("A", 12), ("TDNL", 5), ("A", 14))
    track = mouth_track(spoken, loud(48), 24, 1.0)
    mouth = apertures(track)
    assert mouth[6:9].min() < 0.05  # p, b, m at 0.24..0.34 s, a little early
    assert mouth[14:17].min() > 0.2
    assert mouth[3] > 0.8


def test_short_closure_closes_the_lips() -> None:
    """One frame of the network, half one of the video, wherever it falls."""
    for start in (11, 12, 13, 14):
        shapes = visemes(0.9, ("A", start), ("PBM", 2), ("A", 30 - start)).shapes
        open_throughout = Visemes(shapes, np.full(len(shapes), 0.6, np.float32))
        assert apertures(mouth_track(open_throughout, loud(32), 16, 1.0)).min() < 0.1


def test_quiet_frames_close_the_mouth() -> None:
    spoken = visemes(0.9, ("A", 100))
    level = np.concatenate([np.full(100, -20.0), np.full(100, -75.0)]).astype(np.float32)
    mouth = apertures(mouth_track(spoken, level, 50, 1.0))
    assert mouth[5:20].min() > 0.8
    assert mouth[30:].max() < 0.02


def test_real_speech_opens_and_closes(model: VisemeModel, speech: Speech) -> None:
    frames = round(speech.duration_s * 25)
    opening = apertures(mouth_track(model(speech.mel), speech.tracks[2], frames, 1.0))
    assert opening.max() > 0.5
    assert (opening < 0.05).mean() > 0.05


def test_dynamic_scale_changes_the_amplitude(model: VisemeModel, speech: Speech) -> None:
    frames = round(speech.duration_s * 25)
    spoken = model(speech.mel)
    small, natural, large = (
        mouth_track(spoken, speech.tracks[2], frames, scale)[:, OPEN].max() for scale in (0.5, 1.0, 2.0)
    )
    assert small == pytest.approx(natural / 2, rel=1e-5) and large == pytest.approx(natural * 2, rel=1e-5)


def test_silent_audio_keeps_the_mouth_closed(engine: PuppetEngine, portrait: Portrait, speech: Speech) -> None:
    silent = Speech(
        np.zeros_like(speech.pcm), np.full_like(speech.mel, -1.5), np.full_like(speech.tracks, -100.0), 2.6, silent=True
    )
    animation = engine.prepare(portrait, silent, RenderParams(25, 2.0, 0), PuppetParams(blinks=False, head_motion=0.0))
    frames = list(animation.render(0, animation.frames))
    assert len(frames) == 65
    assert all(np.array_equal(frame, frames[0]) for frame in frames[1:])
    assert closed_mouth(3)[:, CLOSE].tolist() == [1, 1, 1] and closed_mouth(3).shape == (3, len(MOUTH))


def test_seed_decides_the_idle_motion(engine: PuppetEngine, portrait: Portrait, speech: Speech) -> None:
    def film(seed: int) -> PuppetAnimation:
        return engine.prepare(portrait, speech, RenderParams(25, 1.0, seed), PuppetParams())

    first, again, other = (np.stack(list(film(seed).render(30, 34))) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_frames_in_parts_equal_the_whole(engine: PuppetEngine, portrait: Portrait, speech: Speech) -> None:
    animation = engine.prepare(portrait, speech, RenderParams(25, 1.0, 3), PuppetParams())
    whole = list(animation.render(0, 8))
    parts = [*animation.render(0, 3), *animation.render(3, 8)]
    assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))


def test_frames_do_not_depend_on_threads(engine: PuppetEngine, portrait: Portrait, speech: Speech) -> None:
    animation = engine.prepare(portrait, speech, RenderParams(25, 1.0, 3), PuppetParams())
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(5) as five:
        alone, together = (
            list(PuppetAnimation(animation._renderer, animation._poses, pool).render(0, 20)) for pool in (one, five)
        )
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_blinks_are_regular_and_complete() -> None:
    for seed in range(20):
        closure = blink_track(1500, generator(seed))  # a minute
        shut = closure >= 1.0
        assert 8 <= shut.sum() <= 40
        assert (closure == 0).mean() > 0.6
        assert shut[: round(2.3 * 25)].any()


def spoken(seconds: float, *accents_s: float, pause: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:  # type: ignore[type-arg]
    """Tracks of an even voice with louder, higher moments and a pause."""
    t = np.arange(int(seconds * 100)) / 100
    accent = sum((np.exp(-(((t - accent_s) / 0.1) ** 2)) for accent_s in accents_s), np.zeros_like(t))
    voiced = ~((t >= pause[0]) & (t < pause[1]))
    f0 = np.where(voiced, 120 * 2 ** (5 * accent / 12), 0)
    return np.stack([f0, voiced.astype(float), np.where(voiced, -25 + 8 * accent, -90)]).astype(np.float32)


def test_head_starts_at_the_portrait_and_stays_small() -> None:
    tracks = spoken(20, 3, 5.5, 6.1, 9, 14, pause=(7, 8.2))
    for seed in range(20):
        track = head_track(500, tracks, 1.0, generator(seed))
        assert not track[0].any()
        assert np.abs(track).max() < 0.25
        assert np.abs(np.diff(track, axis=0)).max() < 0.02
        assert np.allclose(head_track(500, tracks, 2.0, generator(seed)), 2 * track)


def test_the_head_nods_on_accents() -> None:
    tracks = spoken(10, 3.0, 6.0)
    assert accents(tracks, 250, 0.06)[[round(25 * (at + 0.06)) for at in (3, 6)]].min() > 0.5
    with_accents = np.mean([head_track(250, tracks, 1.0, generator(s))[:, PITCH] for s in range(30)], axis=0)
    without = np.mean([head_track(250, spoken(10), 1.0, generator(s))[:, PITCH] for s in range(30)], axis=0)
    nods = with_accents - without
    for at in (76, 151):
        assert nods[at - 3 : at + 4].max() > nods[at - 15] + 0.02


def test_the_voice_moves_the_head_more_than_noise_does() -> None:
    tracks = spoken(20, 2, 3.1, 4.4, 6, 9, 10.2, 12, 13.5, 16, 17.2, 18.5, pause=(7, 8.2))
    silence = np.stack([np.zeros(2000), np.zeros(2000), np.full(2000, -100.0)]).astype(np.float32)

    def power(source: np.ndarray) -> float:  # type: ignore[type-arg]
        return float(np.mean([head_track(500, source, 1.0, generator(s)).std(axis=0)[[YAW, PITCH]] for s in range(20)]))

    assert power(tracks) > 1.5 * power(silence)


def test_phrase_begins_after_a_pause() -> None:
    starts, active = phrases(spoken(10, pause=(4, 5)), 250)
    assert any(abs(start - 125) <= 5 for start in starts)
    assert active[110:115].max() < 0.1 and active[60] > 0.9


def test_gaze_rests_and_jumps() -> None:
    still = np.zeros((500, len(MOTIONS)), np.float32)
    gaze = gaze_track(500, still, generator(1))
    jumps = np.flatnonzero(np.diff(gaze))
    assert 8 <= len(jumps) <= 40 and np.abs(gaze).max() <= 0.044 + 1e-6
    turned = still.copy()
    turned[:, YAW] = 0.1
    assert (gaze_track(500, turned, generator(1)) < gaze).all()


def test_silence_is_a_class_of_its_own() -> None:
    assert CLASSES[SILENCE] == "sil" and RATE == 50
