"""Windows around a clip: every frame is seen, evenly, and no seam stays."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.infer.sonic.windows import Windows
from tests.sonic.public import VECTORS


@st.composite
def windows(draw: st.DrawFn) -> Windows:
    size = draw(st.integers(1, 30))
    return Windows(draw(st.integers(1, 400)), size, draw(st.integers(0, size - 1)), draw(st.integers(0, 12)))


@given(windows(), st.integers(0, 100))
def test_every_frame_is_seen_at_every_step(of: Windows, step: int) -> None:
    visits = of.visits(step)
    assert visits.min() >= 1
    assert visits.sum() == of.count * of.size
    if of.overlap == 0:
        assert visits.max() - visits.min() <= 1


@given(windows(), st.integers(0, 100))
def test_a_window_is_a_run_of_neighbours_on_the_ring(of: Windows, step: int) -> None:
    index = of.index(step)
    assert index.shape == (of.count, of.size)
    assert bool(((index[:, 1:] - index[:, :-1]) % of.frames == 1 % of.frames).all())


@given(windows(), st.integers(0, 50))
def test_the_next_step_is_shifted_back(of: Windows, step: int) -> None:
    assert torch.equal((of.index(step) - of.shift) % of.frames, of.index(step + 1))


@pytest.mark.parametrize("v", VECTORS["windows"])
def test_stored_windows(v: dict[str, int]) -> None:
    of = Windows(v["T"], v["window"], v["overlap"], v["shift_offset"])
    assert of.starts(v["step"]) == v["starts"]
    assert of.visits(v["step"]).tolist() == v["visits"]


@pytest.mark.parametrize(("frames", "overlap"), [(0, 0), (10, 25), (10, -1)])
def test_windows_that_lead_nowhere_are_refused(frames: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="frames" if frames == 0 else "overlap"):
        Windows(frames, 25, overlap)
