"""How often latents are saved, and which checkpoint files are used."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from stages.infer.sonic.checkpoints import CheckpointSchedule, read_checkpoint, write_checkpoint


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def saves(step_s: float, cost_s: float, steps: int = 100) -> list[int]:
    clock = Clock()
    schedule, saved = CheckpointSchedule(steps, clock), []
    for step in range(1, steps + 1):
        clock.now += step_s
        if schedule.is_due(step):
            saved.append(step)
            clock.now += cost_s
            schedule.record_saved(cost_s)
    return saved


@pytest.mark.parametrize(("step_s", "cost_s"), [(0.1, 0.02), (1.0, 0.05), (8.0, 0.02), (30.0, 0.001)])
def test_saving_takes_at_most_one_percent_of_the_time(step_s: float, cost_s: float) -> None:
    """Except the first, which measures the cost, and the last, without which decoding could not be resumed."""
    saved = saves(step_s, cost_s)
    assert (saved[0], saved[-1]) == (1, 100)
    assert cost_s * len(saved[1:-1]) <= 0.01 * step_s * 100
    assert max(b - a for a, b in pairwise(saved)) * step_s <= 100 * cost_s + step_s, (
        "and not less often than that allows"
    )


def test_interval_is_at_most_a_minute_at_any_cost() -> None:
    assert saves(61.0, 30.0) == list(range(1, 101))
    assert max(b - a for a, b in pairwise(saves(10.0, 5.0))) == 6


@pytest.fixture
def like() -> torch.Tensor:
    return torch.randn(1, 3, 4, 8, 8)


def test_checkpoint_round_trip_is_exact(tmp_path: Path, like: torch.Tensor) -> None:
    path = tmp_path / "x"
    write_checkpoint(path, like, 3, "mine")
    resumed = read_checkpoint(path, torch.zeros_like(like), 5, "mine")
    assert resumed is not None
    assert resumed[0] == 3
    assert torch.equal(resumed[1], like)


def test_unusable_checkpoint_is_ignored(tmp_path: Path, like: torch.Tensor) -> None:
    path = tmp_path / "x"
    write_checkpoint(path, like, 3, "mine")
    assert read_checkpoint(path, like, 5, "another's") is None
    assert read_checkpoint(path, like, 2, "mine") is None, "more steps than there are"
    assert read_checkpoint(path, like[:, :2], 5, "mine") is None
    assert read_checkpoint(path, like.half(), 5, "mine") is None
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"x" * 100, whole[:8] + b"{" * 50 + whole[58:]):
        path.write_bytes(damaged)
        assert read_checkpoint(path, like, 5, "mine") is None
    write_checkpoint(path, torch.full_like(like, torch.nan), 3, "mine")
    assert read_checkpoint(path, like, 5, "mine") is None
    assert read_checkpoint(tmp_path / "absent", like, 5, "mine") is None
