"""Noise levels and the Euler step."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.infer.sonic.schedule import euler_step, karras, scale_input
from tests.sonic.public import VECTORS


@pytest.mark.parametrize("v", VECTORS["schedule"])
def test_schedules_match_the_stored_vectors(v: dict[str, list[float]]) -> None:
    schedule = karras(int(v["steps"]))  # type: ignore[call-overload]
    torch.testing.assert_close(schedule.sigmas, torch.tensor(v["sigmas"]), rtol=1e-5, atol=0)
    torch.testing.assert_close(schedule.times, torch.tensor(v["timesteps"]), rtol=1e-5, atol=0)


@given(st.integers(1, 200), st.floats(0.01, 1))
def test_levels_decrease_to_zero_and_the_last_are_kept(steps: int, strength: float) -> None:
    kept = int(steps * strength)
    if kept < 1:
        with pytest.raises(ValueError, match="steps"):
            karras(steps, strength)
        return
    schedule = karras(steps, strength)
    assert schedule.steps == kept
    assert torch.equal(schedule.sigmas, karras(steps).sigmas[-kept - 1 :])
    assert schedule.sigmas[-1] == 0
    assert bool((schedule.sigmas[1:] < schedule.sigmas[:-1]).all())


@given(st.floats(0.01, 700), st.floats(0, 1))
def test_step_with_the_true_v_stays_on_the_line_from_clean_to_noise(sigma: float, share: float) -> None:
    generator = torch.Generator().manual_seed(1)
    clean, noise = (torch.randn(4, generator=generator, dtype=torch.float64) for _ in range(2))
    noisy, next_sigma = clean + sigma * noise, share * sigma
    # The v that belongs to them (Salimans & Ho 2022, appendix D), for inputs of unit variance.
    root = math.sqrt(sigma**2 + 1)
    v = (noisy / (sigma**2 + 1) - clean) * root / sigma
    torch.testing.assert_close(
        euler_step(noisy, v, sigma, next_sigma), clean + next_sigma * noise, rtol=1e-9, atol=1e-9
    )
    torch.testing.assert_close(scale_input(noisy, sigma) * root, noisy)
