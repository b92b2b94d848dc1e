"""The measurement that is made while a file is written agrees with that of the finished file."""

import concurrent.futures
from pathlib import Path

import pytest

from stages.encode.evaluation.running import ENOUGH, RunningSampler, recorded
from stages.encode.evaluation.sample import Sampler
from stages.encode.groups import Groups
from stages.encode.mp4 import Coding, Mp4Writer
from tests.evaluation.conftest import Film


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return Sampler()


def written(path: Path, film: Film, running: RunningSampler) -> None:
    """Encode the film, with the measurement beside it."""
    size = film.frames.shape[2], film.frames.shape[1] * 2 // 3
    with Mp4Writer(path, *size, film.sound, {}, Coding(), [Groups(running.add)]) as writer:
        for start in range(0, len(film.frames), 25):
            writer.write(film.frames[start : start + 25])


def beside(sampler: Sampler, film: Film, budget_s: float) -> RunningSampler:
    return RunningSampler(
        sampler, lambda: recorded(film.sound, 48_000), film.portrait, lambda: budget_s, speech=True, box=None
    )


def test_result_agrees_with_that_of_the_finished_file(sampler: Sampler, sample: Film, tmp_path: Path) -> None:
    running = beside(sampler, sample, 1000.0)
    written(tmp_path / "v.mp4", sample, running)
    concurrent.futures.wait(running._tasks)  # `finish` leaves out what still waits on a busy machine.
    result = running.finish()
    finished = sampler.measure(tmp_path / "v.mp4", sample.portrait, 1000.0, speech=True)
    assert result is not None and result.offset_ms is not None and result.quality is not None
    assert result.offset_ms == pytest.approx(finished.offset_ms, abs=10)
    assert result.quality == pytest.approx(finished.quality, abs=0.05)


def test_file_is_the_same_with_and_without_the_measurement(sampler: Sampler, sample: Film, tmp_path: Path) -> None:
    running = beside(sampler, sample, 0.0)
    written(tmp_path / "v.mp4", sample, running)
    assert running.finish() is None, "there was no time"
    assert (tmp_path / "v.mp4").read_bytes() == sample.again(tmp_path / "again.mp4").read_bytes()


def test_no_more_is_measured_than_the_time_allows(sampler: Sampler, sample: Film, tmp_path: Path) -> None:
    running = beside(sampler, sample, 0.0)
    written(tmp_path / "v.mp4", sample, running)
    running._budget_s = lambda: 1000.0
    assert running.finish() is not None
    assert running._attempts == ENOUGH, "after the end only what an offset needs"
