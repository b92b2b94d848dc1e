"""Windows around a clip: every frame is covered, evenly, and seams move."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.infer.sonic.windows import Windows
from tests.sonic.public import VECTORS


@st.composite
def any_windows(draw: st.DrawFn) -> Windows:
    size = draw(st.integers(1, 30))
    return Windows(draw(st.integers(1, 400)), size, draw(st.integers(0, size - 1)), draw(st.integers(0, 12)))


@given(any_windows(), st.integers(0, 100))
def test_every_frame_is_covered_at_every_step(windows: Windows, step: int) -> None:
    visits = windows.visits(step)
    assert visits.min() >= 1
    assert visits.sum() == windows.count * windows.size
    if windows.overlap == 0:
        assert visits.max() - visits.min() <= 1


@given(any_windows(), st.integers(0, 100))
def test_window_is_a_run_of_neighbours_on_the_ring(windows: Windows, step: int) -> None:
    index = windows.index(step)
    assert index.shape == (windows.count, windows.size)
    assert bool(((index[:, 1:] - index[:, :-1]) % windows.frames == 1 % windows.frames).all())


@given(any_windows(), st.integers(0, 50))
def test_next_step_is_shifted_back(windows: Windows, step: int) -> None:
    assert torch.equal((windows.index(step) - windows.shift) % windows.frames, windows.index(step + 1))


@pytest.mark.parametrize("v", VECTORS["windows"])
def test_windows_match_the_stored_vectors(v: dict[str, int]) -> None:
    windows = Windows(v["T"], v["window"], v["overlap"], v["shift_offset"])
    assert windows.starts(v["step"]) == v["starts"]
    assert windows.visits(v["step"]).tolist() == v["visits"]


@pytest.mark.parametrize(("frames", "overlap"), [(0, 0), (10, 25), (10, -1)])
def test_invalid_windows_are_refused(frames: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="frames" if frames == 0 else "overlap"):
        Windows(frames, 25, overlap)
