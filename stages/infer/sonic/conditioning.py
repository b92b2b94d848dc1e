"""Encodes portrait and speech into the conditioning of the denoising loop; each encoder runs once."""

from collections.abc import Callable

import torch
from torch import Tensor

from stages.infer.sonic.denoise import Conditioning
from stages.infer.sonic.networks import Networks
from stages.infer.sonic.picture import Picture
from stages.infer.sonic.speech import bucket_windows, count_frames, encode_audio, log_mel, token_windows

BUCKET_CENTRE = 16.0
"""Motion buckets are ``16 + 16 x`` of audio2bucket's output (Sonic, section 3.3)."""

MotionScale = float | tuple[float, float]
"""One factor for both buckets, or one each: movement of the head, expression."""


def motion_buckets(outputs: Tensor, scale: MotionScale) -> Tensor:
    """Map audio2bucket's output [T, 2] to the UNet's motion buckets, float32 or wider [T, 2]."""
    buckets = BUCKET_CENTRE + BUCKET_CENTRE * outputs
    return buckets * torch.as_tensor(scale, dtype=buckets.dtype, device=buckets.device)


def initial_noise(seed: int, frames: int, height: int, width: int, channels: int = 4) -> Tensor:
    """Gaussian noise float32 [1, frames, channels, height / 8, width / 8] for a video of that size.

    The generator is on the CPU, so that a seed gives the same noise on every device. Like the official program it first
    draws an image of noise, whose weight in the published configuration is 0.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.randn(1, 3, height, width, generator=generator)
    return torch.randn(1, frames, channels, height // 8, width // 8, generator=generator)


@torch.inference_mode()
def encode_conditioning(
    networks: Networks,
    picture: Picture,
    wave: Tensor,
    motion_scale: MotionScale = 1.0,
    *,
    raise_if_cancelled: Callable[[], None] = lambda: None,
) -> Conditioning:
    """Run the encoders. wave: float32 [n] of 16 kHz mono on the CPU, at least 1280 samples.

    ``raise_if_cancelled`` is called between encoders.
    """
    device, dtype = networks.device, networks.dtype
    audio_frames = count_frames(len(wave)).audio_frames
    small = networks.audio2token.norm.weight.dtype
    image = networks.image_encoder(picture.clip_pixels.to(device))
    raise_if_cancelled()
    portrait = networks.vae.encode(picture.ref.to(device))
    raise_if_cancelled()
    states = encode_audio(networks.whisper, log_mel(wave).to(device, small), audio_frames)
    raise_if_cancelled()
    tokens = networks.audio2token(token_windows(states, audio_frames))
    silence = networks.audio2token(torch.zeros_like(token_windows(states, 2)))[0]
    outputs = networks.audio2bucket(bucket_windows(states, audio_frames), image.to(small))
    return Conditioning(
        portrait=portrait.to(dtype),
        image=image.to(dtype),
        speech=tokens.to(dtype),
        silence=silence.to(dtype),
        motion=motion_buckets(outputs, motion_scale),
        mask=picture.mask.to(device, dtype),
    )
