"""How often latents are saved, and what of a file is believed."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from stages.infer.sonic import resume


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def saves(step_s: float, cost_s: float, steps: int = 100) -> list[int]:
    clock = Clock()
    cadence, found = resume.Cadence(steps, clock), []
    for step in range(1, steps + 1):
        clock.now += step_s
        if cadence.due(step):
            found.append(step)
            clock.now += cost_s
            cadence.saved(cost_s)
    return found


@pytest.mark.parametrize(("step_s", "cost_s"), [(0.1, 0.02), (1.0, 0.05), (8.0, 0.02), (30.0, 0.001)])
def test_saving_takes_a_hundredth_of_the_time_at_most(step_s: float, cost_s: float) -> None:
    """But for the first, which measures what it costs, and the last, without which decoding could not be resumed."""
    found = saves(step_s, cost_s)
    assert (found[0], found[-1]) == (1, 100)
    assert cost_s * len(found[1:-1]) <= 0.01 * step_s * 100
    assert max(b - a for a, b in pairwise(found)) * step_s <= 100 * cost_s + step_s, "nor more seldom than that"


def test_a_minute_is_the_most_that_is_lost_whatever_it_costs() -> None:
    assert saves(61.0, 30.0) == list(range(1, 101))
    assert max(b - a for a, b in pairwise(saves(10.0, 5.0))) == 6


@pytest.fixture
def like() -> torch.Tensor:
    return torch.randn(1, 3, 4, 8, 8)


def test_what_was_written_is_read_to_the_bit(tmp_path: Path, like: torch.Tensor) -> None:
    path = tmp_path / "x"
    resume.write(path, like, 3, "mine")
    found = resume.read(path, torch.zeros_like(like), 5, "mine")
    assert found is not None
    assert found[0] == 3
    assert torch.equal(found[1], like)


def test_of_anything_else_nothing_is_taken(tmp_path: Path, like: torch.Tensor) -> None:
    path = tmp_path / "x"
    resume.write(path, like, 3, "mine")
    assert resume.read(path, like, 5, "another's") is None
    assert resume.read(path, like, 2, "mine") is None, "more steps than there are"
    assert resume.read(path, like[:, :2], 5, "mine") is None
    assert resume.read(path, like.half(), 5, "mine") is None
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"x" * 100, whole[:8] + b"{" * 50 + whole[58:]):
        path.write_bytes(damaged)
        assert resume.read(path, like, 5, "mine") is None
    resume.write(path, torch.full_like(like, torch.nan), 3, "mine")
    assert resume.read(path, like, 5, "mine") is None
    assert resume.read(tmp_path / "absent", like, 5, "mine") is None
