"""Sound: counts, mel, states and windows against the stored stages, and the rule of the windows for any length."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.infer.sonic import speech
from stages.infer.sonic.nets.whisper import WhisperEncoder
from tests.sonic.golden.make_tiny_checkpoint import synthetic_wave
from tests.sonic.public import CONFIG, DTYPES, VECTORS, WHISPER_FILE, arrays, assert_close, loaded, stored, tiny_sizes

each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def encoder(dtype: torch.dtype) -> WhisperEncoder:
    net = WhisperEncoder(tiny_sizes().whisper)
    return loaded(net, WHISPER_FILE, dtype, prefix="model.encoder.", without="model.decoder.")


def wave_of(samples: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(samples.astype(np.float32) / 32768)


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=lambda v: str(v["samples"]))
def test_counts(vector: dict[str, int]) -> None:
    expected = speech.Counts(vector["N"], vector["T"], vector["mel_chunks"], vector["interpolated_frames"])
    assert speech.counts(vector["samples"]) == expected


@given(st.integers(1280, 50_000_000))
def test_counts_of_any_length(samples: int) -> None:
    found = speech.counts(samples)
    assert 2 <= found.audio_frames <= 10_000 and found.audio_frames * 640 <= samples
    assert found.frames * 2 <= found.audio_frames <= found.frames * 2 + 1
    assert found.interpolated == found.frames * 2 - 1
    assert (found.chunks - 1) * 480_000 < samples <= found.chunks * 480_000


@pytest.mark.parametrize("samples", [0, 639, 1279])
def test_too_short_to_draw(samples: int) -> None:
    with pytest.raises(ValueError, match="at least 1280"):
        speech.counts(samples)


def test_log_mel() -> None:
    assert_close(speech.log_mel(wave_of(arrays()["main.wave"])), "main.mel")


@each_dtype
def test_states_and_windows(dtype: torch.dtype) -> None:
    case = CONFIG["cases"]["main"]
    states = speech.hear(encoder(dtype), stored("main.mel", dtype), case["N"])
    assert_close(states, "f64.whisper_states")
    assert_close(speech.token_windows(states, case["N"]), "main.token_windows")
    assert_close(speech.bucket_windows(states, case["N"]), "main.bucket_windows")


def test_each_thirty_seconds_for_itself() -> None:
    wave = wave_of(synthetic_wave(CONFIG["seed"] + 9, 766 * 640 + 77))
    count = speech.counts(len(wave))
    mel = speech.log_mel(wave)
    assert mel.shape == (1, 80, 6000) and count.chunks == 2
    assert_close(mel[0, :, 2990:3064], "long.mel_slice")
    states = speech.hear(encoder(torch.float32), mel, count.audio_frames)
    assert len(states) == 2 * 766
    assert_close(states[1490:1532], "long.states_slice")


def test_a_chunk_nobody_needs_is_not_heard() -> None:
    mel = speech.log_mel(torch.zeros(480_001))
    heard = []

    def deaf(chunk: torch.Tensor) -> torch.Tensor:
        heard.append(chunk.shape)
        return torch.zeros(1, 1500, 5, 2)

    assert len(speech.hear(deaf, mel, 750)) == 1500
    assert heard == [(1, 80, 3000)]


@given(st.integers(2, 80))
def test_windows_of_any_length(audio_frames: int) -> None:
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
