"""Noise levels and the Euler step (Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Models")."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SIGMA_MAX = 700.0
SIGMA_MIN = 0.002
RHO = 7.0


@dataclass(frozen=True)
class Schedule:
    """sigmas float32 [steps + 1], decreasing, the last 0; times float32 [steps]: the UNet's time, 0.25 ln sigma."""

    sigmas: Tensor
    times: Tensor

    @property
    def steps(self) -> int:
        """Number of denoising steps."""
        return len(self.times)


def karras(steps: int, strength: float = 1.0) -> Schedule:
    """Noise levels of equation 5 of the paper with rho 7, from 700 to 0.002, then 0.

    ``strength`` below 1 keeps only the last ``int(steps * strength)`` steps. Raises ValueError when no step is left.
    """
    kept = min(int(steps * strength), steps)
    if kept < 1:
        raise ValueError(f"steps: {steps} at strength {strength} leave no step; at least one is needed")
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64) if steps > 1 else torch.zeros(1, dtype=torch.float64)
    largest, smallest = SIGMA_MAX ** (1 / RHO), SIGMA_MIN ** (1 / RHO)
    sigmas = (largest + ramp * (smallest - largest)) ** RHO
    sigmas = sigmas[steps - kept :]
    return Schedule(torch.cat([sigmas, torch.zeros(1, dtype=torch.float64)]).float(), (0.25 * sigmas.log()).float())


def scale_input(latents: Tensor, sigma: float) -> Tensor:
    """Scale latents to unit variance at every noise level, as the network expects."""
    return latents / math.sqrt(sigma**2 + 1)


def euler_step(latents: Tensor, v: Tensor, sigma: float, next_sigma: float) -> Tensor:
    """Step from noise level ``sigma`` to ``next_sigma`` along the network's v (Salimans & Ho 2022), in its dtype."""
    clean = latents / (sigma**2 + 1) - v * (sigma / math.sqrt(sigma**2 + 1))
    return latents + (latents - clean) / sigma * (next_sigma - sigma)
