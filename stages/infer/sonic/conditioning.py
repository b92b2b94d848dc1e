"""Portrait and speech become what the denoising loop is given; each encoder runs once."""

from collections.abc import Callable

import torch
from torch import Tensor

from stages.infer.sonic.denoise import Conditioning
from stages.infer.sonic.networks import Networks
from stages.infer.sonic.picture import Picture
from stages.infer.sonic.speech import bucket_windows, counts, hear, log_mel, token_windows

MIDDLE = 16.0
"""Both motion figures are ``16 + 16 x`` of what audio2bucket says (Sonic, section 3.3)."""

MotionScale = float | tuple[float, float]
"""One for both figures, or one each: movement of the head, expression."""


def motion_figures(said: Tensor, scale: MotionScale) -> Tensor:
    """audio2bucket's [T, 2] as the figures that the UNet is told, float32 or wider [T, 2]."""
    figures = MIDDLE + MIDDLE * said
    return figures * torch.as_tensor(scale, dtype=figures.dtype, device=figures.device)


def first_noise(seed: int, frames: int, height: int, width: int, channels: int = 4) -> Tensor:
    """Gaussian noise float32 [1, frames, channels, height / 8, width / 8] for a video of that size.

    From a CPU generator, so that a seed gives the same video on every device. As in the official program a picture of
    noise is drawn first, whose weight in the published configuration is 0.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.randn(1, 3, height, width, generator=generator)
    return torch.randn(1, frames, channels, height // 8, width // 8, generator=generator)


@torch.inference_mode()
def condition(
    networks: Networks,
    picture: Picture,
    wave: Tensor,
    motion_scale: MotionScale = 1.0,
    *,
    checkpoint: Callable[[], None] = lambda: None,
) -> Conditioning:
    """Run the encoders. wave: float32 [n] of 16 kHz mono on the CPU, at least 1280 samples.

    ``checkpoint`` is called between encoders and may raise to stop.
    """
    device, dtype = networks.device, networks.dtype
    audio_frames = counts(len(wave)).audio_frames
    small = networks.audio2token.norm.weight.dtype
    image = networks.image_encoder(picture.clip_pixels.to(device))
    checkpoint()
    portrait = networks.vae.encode(picture.ref.to(device))
    checkpoint()
    states = hear(networks.whisper, log_mel(wave).to(device, small), audio_frames)
    checkpoint()
    tokens = networks.audio2token(token_windows(states, audio_frames))
    silence = networks.audio2token(torch.zeros_like(token_windows(states, 2)))[0]
    said = networks.audio2bucket(bucket_windows(states, audio_frames), image.to(small))
    return Conditioning(
        portrait=portrait.to(dtype),
        image=image.to(dtype),
        speech=tokens.to(dtype),
        silence=silence.to(dtype),
        motion=motion_figures(said, motion_scale),
        mask=picture.mask.to(device, dtype),
    )
