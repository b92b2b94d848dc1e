"""A UNet call in half precision against the stored one in float64."""

import pytest
import torch

from stages.infer.sonic.config import UNetConfig
from stages.infer.sonic.nets.unet.context import FaceMask, TokenContext
from stages.infer.sonic.nets.unet.model import SonicUNet
from tests.sonic.public import SVD, config_file, loaded, stored


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float16, 0.03), (torch.bfloat16, 0.2)])
def test_half_precision_call_is_close(dtype: torch.dtype, allowed: float) -> None:
    """Largest difference, in standard deviations of the output."""
    unet = loaded(SonicUNet(UNetConfig.from_json(config_file(f"{SVD}/unet/config.json"))), "Sonic/unet.pth", dtype)
    sample, expected = stored("unet.sample", dtype), stored("f64.unet_out", torch.float64)
    branches, frames = sample.shape[:2]
    image, audio = (
        stored(f"unet.{name}", dtype).reshape(branches, frames, *stored(f"unet.{name}").shape[1:])
        for name in ("clip_tokens", "audio_tokens")
    )
    context = TokenContext(image, audio, FaceMask(stored("main.face_mask", dtype)))
    with torch.inference_mode():
        v = unet(sample, stored("unet.t"), context, stored("unet.added_time_ids"))
    worst = ((v.double() - expected).abs().max() / expected.std()).item()
    print(f"{dtype}: worst difference {worst:.4f} standard deviations")
    assert worst <= allowed
