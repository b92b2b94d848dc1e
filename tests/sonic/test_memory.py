"""Memory planning before the first kernel: the fastest plan that fits, or DoesNotFit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messages.engines import SonicParams
from stages.infer.engine import RenderParams
from stages.infer.sonic.config import SonicConfig
from stages.infer.sonic.memory import Clip, DoesNotFit, estimate, fit_plan
from stages.infer.sonic.nets.unet.optimization import OptimizationFlags
from stages.infer.sonic.presets import Plan, make_plan

CONFIG = SonicConfig()
GIB = 1 << 30


def requested() -> Plan:
    return make_plan(SonicParams(), RenderParams(25, 1.0, 0), CONFIG, OptimizationFlags())


@pytest.mark.parametrize(
    ("side", "batch_size", "measured"),
    [(256, 1, 0.397), (256, 3, 1.013), (512, 1, 1.316), (512, 3, 3.777), (768, 1, 2.853), (768, 3, 8.384)],
)
def test_estimate_covers_the_measured_peak_closely(side: int, batch_size: int, measured: float) -> None:
    """Peaks of a call on an H200 in half precision, a clip of 25 frames, weights not counted."""
    plan = requested() if batch_size == 3 else requested().one_branch()
    estimated = estimate(plan, Clip(side, side, 25, 2), CONFIG).denoise / GIB
    assert measured <= estimated <= 1.15 * measured + 0.25


@given(st.floats(0.3, 80), st.sampled_from([256, 512, 768, 1024]), st.integers(1, 5000))
def test_fitted_plan_fits(gib: float, side: int, frames: int) -> None:
    clip, free = Clip(side, side, frames, 2), int(gib * GIB)
    try:
        plan = fit_plan(requested(), clip, CONFIG, free)
    except DoesNotFit as e:
        assert e.needed > free
    else:
        assert estimate(plan, clip, CONFIG).peak <= free


def test_plan_is_kept_with_ample_memory() -> None:
    assert fit_plan(requested(), Clip(512, 512, 125, 2), CONFIG, 80 * GIB) == requested()


def test_less_memory_reduces_batch_then_audio_cache_then_decoded_frames() -> None:
    clip = Clip(512, 512, 1500, 2)
    plans = [fit_plan(requested(), clip, CONFIG, int(free * GIB)) for free in (20, 8, 6, 2)]
    assert [(plan.denoise.batch_size, plan.denoise.optimization.cached_audio, plan.decode_chunk) for plan in plans] == [
        (3, True, 8),
        (1, True, 8),
        (1, False, 8),
        (1, False, 2),
    ]


def test_too_large_clip_is_refused_with_figures() -> None:
    with pytest.raises(DoesNotFit, match="MiB are needed beside the weights, 512 MiB are free"):
        fit_plan(requested(), Clip(1024, 1024, 100, 2), CONFIG, GIB // 2)
