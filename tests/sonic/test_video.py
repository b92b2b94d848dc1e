"""The stream from latents to bytes: against the stored stages, seams, order, and what stays in memory."""

import weakref
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from stages.infer.sonic import video
from stages.infer.sonic.nets.rife import FlowNet
from stages.infer.sonic.nets.vae import Vae
from tests.sonic.public import CONFIG, RIFE_FILE, VAE_FILE, arrays, assert_close, loaded, stored, tiny_config


class PlainVae(Vae):
    """Decodes each latent to its own value plus a mark of the call: ``calls`` says what came in."""

    def __init__(self, step_of_calls: float = 0.0) -> None:
        nn.Module.__init__(self)
        self.scaling_factor = 0.5
        self.quant_conv = nn.Conv2d(1, 1, 1)
        self.step_of_calls = step_of_calls
        self.calls: list[int] = []

    def decode(self, latents: Tensor, frames: int) -> Tensor:
        assert len(latents) == frames
        self.calls.append(frames)
        return latents[:, :3].repeat_interleave(8, 2).repeat_interleave(8, 3) + self.step_of_calls * len(self.calls)


def clip(frames: int) -> Tensor:
    return torch.arange(float(frames))[None, :, None, None, None].expand(1, frames, 4, 1, 2)


def test_official_chain_matches_the_stored_frames() -> None:
    case = CONFIG["cases"]["main"]
    stride = case["frame_stride"]
    vae = loaded(Vae(tiny_config().vae), VAE_FILE, torch.float32)
    flownet = loaded(FlowNet(), RIFE_FILE, torch.float32, prefix="module.", without="block_tea")
    chunks = list(video.decode_chunks(vae, stored("main.final_latents"), case["decode_chunk_size"]))
    assert [len(chunk) for chunk in chunks] == [3, 3, 2]
    frames = torch.cat(chunks)
    assert_close(frames[..., ::stride, ::stride], "main.frames_sub")
    flat = frames.double().flatten(1)
    assert_close(torch.stack([flat.mean(1), flat.std(1, unbiased=False)], 1).float(), "main.frames_stats")

    shown = list(video.interpolate(flownet, video.pictures(chunks)))
    assert len(shown) == 2 * case["T"] - 1
    assert_close(torch.cat(shown[1::2])[..., ::stride, ::stride], "main.mids_sub")
    pixels = video.to_uint8(torch.cat(shown[:3]), "truncate")[:, ::2, ::2].int()
    off = (pixels - torch.from_numpy(arrays()["main.video_u8_sub"]).int()).abs()
    assert off.max() <= 1 and (off == 0).float().mean() >= 0.99


@given(st.integers(1, 40), st.integers(1, 9), st.data())
def test_frames_are_decoded_once_and_in_order(frames: int, chunk: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, chunk // 2))
    vae = PlainVae()
    decoded = torch.cat(list(video.decode_chunks(vae, clip(frames), chunk, overlap)))
    assert decoded.shape == (frames, 3, 8, 16) and decoded.dtype == torch.float32
    torch.testing.assert_close(decoded[:, 0, 0, 0], torch.arange(float(frames)) / 0.5)
    assert all(size <= chunk for size in vae.calls)
    assert sum(vae.calls) == frames + overlap * (len(vae.calls) - 1)


def test_shared_frames_of_chunks_are_blended() -> None:
    level = torch.cat(list(video.decode_chunks(PlainVae(3.0), clip(12) * 0, chunk=6, overlap=2)))[:, 0, 0, 0]
    assert level.tolist() == [3, 3, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9], "a step of 3 is taken in three thirds"
    level = torch.cat(list(video.decode_chunks(PlainVae(3.0), clip(12) * 0, chunk=6)))[:, 0, 0, 0]
    assert level.tolist() == [3] * 6 + [6] * 6


@pytest.mark.parametrize("overlap", [-1, 5])
def test_overlap_out_of_range_is_refused(overlap: int) -> None:
    with pytest.raises(ValueError, match="0 to 4"):
        next(video.decode_chunks(PlainVae(), clip(12), chunk=8, overlap=overlap))


def test_chunk_is_decoded_on_demand() -> None:
    vae = PlainVae()
    shown = video.interpolate(
        lambda a, b: SimpleNamespace(picture=(a + b) / 2),
        video.pictures(video.decode_chunks(vae, clip(20), chunk=8, overlap=2)),
    )
    assert vae.calls == []
    for _ in range(2 * 6 - 1):
        next(shown)
    assert vae.calls == [8], "the first chunk gives six frames"
    next(shown)
    assert vae.calls == [8, 8]


def test_interpolation_holds_two_frames() -> None:
    alive: set[int] = set()
    most = 0

    def frames() -> Iterator[Tensor]:
        for i in range(20):
            frame = torch.full((1, 3, 16, 16), i / 20)
            alive.add(i)
            weakref.finalize(frame, alive.discard, i)
            yield frame

    shown = 0
    for picture in video.interpolate(lambda a, b: SimpleNamespace(picture=(a + b) * 9), frames()):
        shown += 1
        most = max(most, len(alive))
        assert picture.min() >= 0 and picture.max() <= 1
    assert shown == 39
    assert most <= 3, "two, and the one that the producer holds"


@given(st.floats(0, 1, width=32))
def test_rounding_of_pixels(value: float) -> None:
    picture = torch.full((1, 3, 2, 4), value)
    scaled = float(torch.tensor(value) * 255)
    cut, rounded = video.to_uint8(picture, "truncate"), video.to_uint8(picture)
    assert cut.shape == (1, 2, 4, 3) and cut.dtype == rounded.dtype == torch.uint8
    assert int(cut[0, 0, 0, 0]) == int(scaled) and int(rounded[0, 0, 0, 0]) == round(scaled)
    assert float(picture[0, 0, 0, 0]) == value, "the input is not modified"
