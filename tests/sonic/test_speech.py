"""Audio features: counts, mel, states and windows against the stored stages, and windows of any length."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.infer.sonic import speech
from stages.infer.sonic.nets.whisper import WhisperEncoder
from tests.sonic.golden.make_tiny_checkpoint import synthetic_wave
from tests.sonic.public import CONFIG, DTYPES, VECTORS, WHISPER_FILE, arrays, assert_close, loaded, stored, tiny_config

each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def encoder(dtype: torch.dtype) -> WhisperEncoder:
    net = WhisperEncoder(tiny_config().whisper)
    return loaded(net, WHISPER_FILE, dtype, prefix="model.encoder.", without="model.decoder.")


def wave_of(samples: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(samples.astype(np.float32) / 32768)


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=lambda v: str(v["samples"]))
def test_counts_match_the_stored_vectors(vector: dict[str, int]) -> None:
    expected = speech.FrameCounts(vector["N"], vector["T"], vector["mel_chunks"], vector["interpolated_frames"])
    assert speech.count_frames(vector["samples"]) == expected


@given(st.integers(1280, 50_000_000))
def test_counts_are_consistent_at_any_length(samples: int) -> None:
    counts = speech.count_frames(samples)
    assert 2 <= counts.audio_frames <= 10_000 and counts.audio_frames * 640 <= samples
    assert counts.frames * 2 <= counts.audio_frames <= counts.frames * 2 + 1
    assert counts.interpolated == counts.frames * 2 - 1
    assert (counts.chunks - 1) * 480_000 < samples <= counts.chunks * 480_000


@pytest.mark.parametrize("samples", [0, 639, 1279])
def test_too_short_audio_is_refused(samples: int) -> None:
    with pytest.raises(ValueError, match="at least 1280"):
        speech.count_frames(samples)


def test_log_mel_matches_the_stored_one() -> None:
    assert_close(speech.log_mel(wave_of(arrays()["main.wave"])), "main.mel")


@each_dtype
def test_states_and_windows_match_the_stored_ones(dtype: torch.dtype) -> None:
    case = CONFIG["cases"]["main"]
    states = speech.encode_audio(encoder(dtype), stored("main.mel", dtype), case["N"])
    assert_close(states, "f64.whisper_states")
    assert_close(speech.token_windows(states, case["N"]), "main.token_windows")
    assert_close(speech.bucket_windows(states, case["N"]), "main.bucket_windows")


def test_thirty_seconds_are_encoded_independently() -> None:
    wave = wave_of(synthetic_wave(CONFIG["seed"] + 9, 766 * 640 + 77))
    count = speech.count_frames(len(wave))
    mel = speech.log_mel(wave)
    assert mel.shape == (1, 80, 6000) and count.chunks == 2
    assert_close(mel[0, :, 2990:3064], "long.mel_slice")
    states = speech.encode_audio(encoder(torch.float32), mel, count.audio_frames)
    assert len(states) == 2 * 766
    assert_close(states[1490:1532], "long.states_slice")


def test_chunk_beyond_the_audio_is_not_encoded() -> None:
    mel = speech.log_mel(torch.zeros(480_001))
    encoded = []

    def encoder(chunk: torch.Tensor) -> torch.Tensor:
        encoded.append(chunk.shape)
        return torch.zeros(1, 1500, 5, 2)

    assert len(speech.encode_audio(encoder, mel, 750)) == 1500
    assert encoded == [(1, 80, 3000)]


@given(st.integers(2, 80))
def test_windows_are_zero_padded_at_any_length(audio_frames: int) -> None:
    states = torch.arange(1.0, 2 * audio_frames + 1)[:, None, None] + torch.tensor([0.0, 0.25])[:, None]
    tokens = speech.token_windows(states, audio_frames)
    buckets = speech.bucket_windows(states, audio_frames)
    assert tokens.shape == (audio_frames // 2, 10, 2, 1)
    assert buckets.shape == (audio_frames // 2, 50, 1, 1)

    def state(position: int, which: int) -> float:
        return position + 1 + which * 0.25 if 0 <= position < 2 * audio_frames else 0.0

    for i in range(audio_frames // 2):
        assert tokens[i, :, :, 0].tolist() == [[state(p, 0), state(p, 1)] for p in range(4 * i - 4, 4 * i + 6)]
        assert buckets[i, :, 0, 0].tolist() == [state(p, 1) for p in range(4 * i - 24, 4 * i + 26)]
