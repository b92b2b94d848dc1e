"""bench.peers with the peer that needs nothing but what is installed here; its figures are not evaluated."""

import sys
from pathlib import Path

import pytest

from bench.peers import __main__ as peers
from bench.peers import instances, kills
from bench.throughput import Jobs


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    folder = tmp_path / "inputs"
    folder.mkdir()
    return Jobs(folder, 256)


@pytest.mark.slow
def test_a_batch_is_rendered_by_two_instances(tmp_path: Path, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "PYTHON", Path(sys.executable))
    with instances.instances("kafka_loop", tmp_path / "peer", reliable=True) as made:
        figures = peers.throughput(made, jobs, 2)
        assert figures["videos_a_minute"] == pytest.approx(120 / figures["wall_s"], rel=0.01)
        assert figures["cpu_s_a_job"]["instances"] > 0.2
        assert len(list((tmp_path / "peer").glob("job-*.mp4"))) == 6, "four warm up"
        assert len(made.pids_of("end")) == 2


@pytest.mark.slow
def test_killed_tasks_are_counted_with_what_became_of_them(
    tmp_path: Path, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The offset is committed after the work, so both tasks run again; the first one in another process."""
    monkeypatch.setattr(instances, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(kills, "INTO_TASK_S", 0.05)
    with instances.instances("kafka_loop", tmp_path / "peer", reliable=True) as made:
        figures = kills.losses(made, jobs, 4)
        assert len(made.pids_of("ready")) == 4, "two were started again"
    assert figures["jobs"] == 4 and figures["killed_tasks"] == 2
    assert figures["lost"] == figures["not_back_yet"] == 0
    assert figures["started_twice"] >= 2
    assert len(figures["killed_tasks_back_s"]) == 2


def test_peers_without_an_environment_name_the_target_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instances, "PYTHON", tmp_path / "none")
    with (
        pytest.raises(SystemExit, match="make setup-bench"),
        instances.instances("celery", tmp_path / "peer", reliable=False),
    ):
        raise AssertionError


def test_every_peer_has_its_module() -> None:
    folder = Path(instances.__file__).parent
    for peer in instances.PEERS.values():
        assert (folder / f"{peer.module.rpartition('.')[2]}.py").is_file()
        assert peer.server in instances.SERVERS
        assert peer.module in peer.worker
