"""Audio networks, Whisper encoder and image encoder against the stored stages."""

import pytest
import torch

from stages.infer.sonic.config import SonicConfig
from stages.infer.sonic.nets.audio import AudioToBucket, AudioToToken
from stages.infer.sonic.nets.clip import ClipVision
from stages.infer.sonic.nets.whisper import WhisperEncoder
from tests.sonic.public import CLIP_FILE, DTYPES, WHISPER_FILE, assert_close, loaded, stored, tiny_config

TINY = tiny_config()
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


@each_dtype
def test_audio_tokens_match_the_stored_ones(dtype: torch.dtype) -> None:
    net = loaded(AudioToToken(TINY.token), "Sonic/audio2token.pth", dtype)
    windows = stored("main.token_windows", dtype)
    assert_close(net(windows), "f64.audio_tokens")
    assert_close(net(torch.zeros_like(windows[:1]))[0], "main.uncond_tokens")


@each_dtype
def test_motion_buckets_match_the_stored_ones(dtype: torch.dtype) -> None:
    net = loaded(AudioToBucket(TINY.bucket), "Sonic/audio2bucket.pth", dtype)
    windows, embed = stored("main.bucket_windows", dtype), stored("main.clip_embed", dtype)
    assert_close(net(windows, embed), "f64.bucket_out")
    assert_close(net(windows, embed.expand(len(windows), -1)), "f64.bucket_out")


@each_dtype
def test_encoder_states_match_the_stored_ones(dtype: torch.dtype) -> None:
    net = loaded(WhisperEncoder(TINY.whisper), WHISPER_FILE, dtype, prefix="model.encoder.", without="model.decoder.")
    states = net(stored("main.mel", dtype))
    assert states.shape == (1, 1500, TINY.whisper.n_layer + 1, TINY.whisper.n_state)
    assert_close(states[0, :34], "f64.whisper_states")


def test_speech_encoder_takes_exactly_thirty_seconds() -> None:
    net = WhisperEncoder(TINY.whisper)
    with pytest.raises(ValueError, match="exactly 3000"):
        net(torch.zeros(1, 80, 2998))


@each_dtype
def test_image_embedding_matches_the_stored_one(dtype: torch.dtype) -> None:
    net = loaded(ClipVision(TINY.clip), CLIP_FILE, dtype)
    assert_close(net(stored("main.clip_pixels", dtype)), "f64.clip_embed")


@pytest.mark.parametrize(
    ("build", "tensors", "parameters"),
    [
        (lambda c: AudioToToken(c.token), 8, 54_300_672),
        (lambda c: AudioToBucket(c.bucket), 6, 21_762_050),
        (lambda c: WhisperEncoder(c.whisper), 67, 8_208_384),
        (lambda c: ClipVision(c.clip), 520, 632_076_800),
    ],
    ids=["audio2token", "audio2bucket", "whisper", "clip"],
)
def test_official_network_has_the_published_size(build, tensors: int, parameters: int) -> None:
    with torch.device("meta"):
        net = build(SonicConfig())
    assert len(net.state_dict()) == tensors
    assert sum(p.numel() for p in net.parameters()) == parameters
