"""Log-mel, pitch and loudness against independent computations and signals whose answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stages.audio.loudness import is_silent, rms_dbfs
from stages.audio.melspec import log_mel, mel_filters
from stages.audio.pitch import pitch_track

RATE = 16_000


def slow_log_mel(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whisper's definition, one frame and one band at a time, in float64, with a DFT by its sum."""

    def mel_to_hz(m: float) -> float:
        return m * 200 / 3 if m < 15 else 1000 * 6.4 ** ((m - 15) / 27)

    top = 15 + 27 * np.log(8) / np.log(6.4)
    edges = [mel_to_hz(top * i / 81) for i in range(82)]
    n = np.arange(400)
    window = np.sin(np.pi * n / 400) ** 2
    dft = np.exp(-2j * np.pi * np.outer(np.arange(201), n) / 400)
    mirrored = np.concatenate([x[200:0:-1], x, x[-2:-202:-1]])
    out = np.zeros((80, len(x) // 160))
    for t in range(out.shape[1]):
        power = np.abs(dft @ (mirrored[160 * t : 160 * t + 400] * window)) ** 2
        for band in range(80):
            low, mid, high = edges[band : band + 3]
            total = 0.0
            for k in range(201):
                f = 40.0 * k
                weight = (f - low) / (mid - low) if f <= mid else (high - f) / (high - mid)
                total += max(weight, 0.0) * 2 / (high - low) * power[k]
            out[band, t] = np.log10(max(total, 1e-10))
    scaled: NDArray[np.float64] = (np.maximum(out, out.max() - 8) + 4) / 4
    return scaled


@settings(max_examples=8, deadline=None)
@given(st.integers(201, 2000), st.integers(0, 2**31), st.floats(1e-4, 1.0))
def test_log_mel_equals_whispers(samples: int, seed: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    x = level * rng.uniform(-1, 1, samples) * np.hanning(samples)
    got = log_mel(x.astype(np.float32))
    assert got.shape == (80, samples // 160)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, slow_log_mel(x.astype(np.float32).astype(np.float64)), atol=2e-4)


def test_filters_have_unit_area() -> None:
    bank = mel_filters()
    assert bank.shape == (80, 201)
    # Wide bands, where 40 Hz bins sample the triangle finely enough.
    np.testing.assert_allclose(bank[60:].sum(axis=1) * 40, 1.0, atol=0.05)


def test_blocks_of_long_recordings_join_seamlessly() -> None:
    x = np.random.default_rng(1).normal(0, 0.1, 65 * RATE).astype(np.float32)
    whole = log_mel(x)
    part = log_mel(x[29 * RATE : 31 * RATE])
    assert whole.shape == (80, 6500)
    # Same floor in both (noise), so the middle must agree, across the 30 s border too.
    np.testing.assert_allclose(whole[:, 2910:3090], part[:, 10:190], atol=1e-4)


def test_log_mel_of_silence_is_flat() -> None:
    np.testing.assert_allclose(log_mel(np.zeros(RATE, np.float32)), -1.5, atol=1e-6)


@pytest.mark.parametrize("hz", [62.0, 80.0, 100.0, 123.4, 180.0, 220.0, 300.0, 440.0, 495.0])
@pytest.mark.parametrize("shape", ["sine", "pulses"])
def test_f0_of_steady_tones_is_exact(hz: float, shape: str) -> None:
    t = np.arange(2 * RATE) / RATE
    partials = range(1, 2) if shape == "sine" else range(1, int(4000 / hz))
    x = np.sum([np.cos(2 * np.pi * hz * k * t) / k for k in partials], axis=0)
    x = (0.3 * x / np.abs(x).max()).astype(np.float32)
    f0, voicing = pitch_track(x, rms_dbfs(x))
    assert f0.shape == voicing.shape == (200,)
    inner = slice(5, -5)
    np.testing.assert_allclose(f0[inner], hz, rtol=0.01)
    assert voicing[inner].min() > 0.9


def test_f0_follows_a_glide() -> None:
    t = np.arange(2 * RATE) / RATE
    hz = 100 + 100 * t / 2
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    x = (0.2 * np.sum([np.sin(k * phase) / k for k in range(1, 10)], axis=0)).astype(np.float32)
    f0, _ = pitch_track(x, rms_dbfs(x))
    expected = 100 + 100 * np.arange(200) / 100 / 2
    np.testing.assert_allclose(f0[8:-8], expected[8:-8], rtol=0.03)


def test_noise_and_silence_are_unvoiced() -> None:
    noise = np.random.default_rng(2).normal(0, 0.1, 2 * RATE).astype(np.float32)
    f0, voicing = pitch_track(noise, rms_dbfs(noise))
    assert (f0 > 0).mean() < 0.05
    assert voicing.mean() < 0.5
    quiet = np.zeros(RATE, np.float32)
    f0, voicing = pitch_track(quiet, rms_dbfs(quiet))
    assert not f0.any()
    assert not voicing.any()


def test_voice_between_pauses_is_voiced() -> None:
    t = np.arange(RATE // 2) / RATE
    voice = 0.3 * sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 12))
    x = np.concatenate([np.zeros(RATE // 2), voice, np.zeros(RATE // 2)]).astype(np.float32)
    f0, _ = pitch_track(x, rms_dbfs(x))
    assert not f0[:45].any()
    assert not f0[105:].any()
    np.testing.assert_allclose(f0[54:96], 120, rtol=0.01)


def test_level_of_a_sine_is_3_db_below_its_peak() -> None:
    x = (0.1 * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE)).astype(np.float32)
    np.testing.assert_allclose(rms_dbfs(x), -20 - 3.01, atol=0.3)


def test_level_has_a_floor() -> None:
    assert set(rms_dbfs(np.zeros(RATE, np.float32)).tolist()) == {-100.0}


def test_silence_threshold() -> None:
    hiss = np.random.default_rng(3).normal(0, 1, RATE).astype(np.float32)
    assert is_silent(rms_dbfs(np.zeros(RATE, np.float32)))
    assert is_silent(rms_dbfs(hiss * 10 ** (-70 / 20)))
    assert not is_silent(rms_dbfs(hiss * 10 ** (-45 / 20)))
    click = np.zeros(RATE, np.float32)
    click[8000] = 1.0
    assert is_silent(rms_dbfs(click))
    assert not is_silent(rms_dbfs(hiss[:3200] * 0.1))
