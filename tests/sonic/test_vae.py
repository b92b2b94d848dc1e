"""The autoencoder against the stored stages, in other memory layouts and in half precision."""

import pytest
import torch

from stages.infer.sonic.config import SonicConfig
from stages.infer.sonic.nets.vae import Vae
from tests.sonic.public import DTYPES, VAE_FILE, assert_close, loaded, stored, tiny_config

each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def vae(dtype: torch.dtype) -> Vae:
    return loaded(Vae(tiny_config().vae), VAE_FILE, dtype)


@each_dtype
def test_encode_matches_the_stored_latents(dtype: torch.dtype) -> None:
    assert_close(vae(dtype).encode(stored("main.ref", dtype)), "f64.image_latents")


@each_dtype
def test_decode_matches_the_stored_frames(dtype: torch.dtype) -> None:
    latents = stored("vae.latents", dtype)
    before = latents.clone()
    assert_close(vae(dtype).decode(latents, frames=3), "f64.vae_frames")
    assert torch.equal(latents, before), "the input is not modified"


def test_clips_of_one_call_are_independent() -> None:
    net, latents = vae(torch.float64), stored("vae.latents", torch.float64)[..., :4, :4]
    both = net.decode(torch.cat([latents, latents.flip(0)]), frames=3)
    torch.testing.assert_close(both[:3], net.decode(latents, 3), rtol=0, atol=1e-10)
    torch.testing.assert_close(both[3:], net.decode(latents.flip(0), 3), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float16, 0.02), (torch.bfloat16, 0.15)])
def test_half_precision_is_close(dtype: torch.dtype, allowed: float) -> None:
    latents = stored("vae.latents")[:2, :, :4, :4]
    decoded = vae(dtype).decode(latents, frames=2)
    assert decoded.dtype == dtype
    worst = (decoded.double() - vae(torch.float64).decode(latents, frames=2)).abs().max().item()
    print(f"{dtype}: worst difference {worst:.4f}")
    assert worst < allowed


def test_official_network_has_the_published_size() -> None:
    with torch.device("meta"):
        net = Vae(SonicConfig().vae)
    assert len(net.state_dict()) == 374
    assert sum(p.numel() for p in net.encoder.parameters()) == 34_163_592
    assert sum(p.numel() for p in net.decoder.parameters()) == 63_579_183
    assert sum(p.numel() for p in net.parameters()) == 97_742_847
