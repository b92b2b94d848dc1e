"""Random inputs of a render."""

import torch

from stages.infer.sonic.config import SonicConfig
from stages.infer.sonic.denoise import Conditioning
from stages.infer.sonic.networks import Networks


def random_clip(
    networks: Networks, config: SonicConfig, width: int, height: int, frames: int
) -> tuple[Conditioning, torch.Tensor]:
    """Conditioning on the device, and first latents on the CPU."""
    device, dtype = networks.device, networks.dtype
    generator = torch.Generator().manual_seed(2)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    mask = torch.zeros(1, 1, height, width)
    mask[..., height // 4 : -height // 4, width // 4 : -width // 4] = 1
    channels = config.vae.latent_channels
    conditioning = Conditioning(
        portrait=normal(1, channels, height // 8, width // 8).to(device, dtype),
        image=normal(1, config.clip.projection_dim).to(device, dtype),
        speech=normal(frames, config.token.n_tokens, config.token.output_dim).to(device, dtype),
        silence=normal(config.token.n_tokens, config.token.output_dim).to(device, dtype),
        motion=torch.full((frames, 2), 20.0, device=device),
        mask=mask.to(device, dtype),
    )
    return conditioning, normal(1, frames, channels, height // 8, width // 8)
