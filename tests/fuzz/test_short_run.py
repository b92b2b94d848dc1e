"""The short form of `make fuzz`: the seeds as they are, then some hundred mutations of each target, always the same."""

from pathlib import Path

import pytest

from tests.fuzz import campaign, guided
from tests.fuzz.target import CPU_S
from tests.fuzz.targets import GROUPS, targets

SEED = 20_261_130
EACH = {"audio": 40, "face": 40, "frames": 100, "messages": 200, "client": 80, "http": 200}
"""Inputs of each target."""
IGNORED = ("face.profile", "face.exif")
"""A damaged colour profile or EXIF data is no reason to refuse a picture."""


@pytest.mark.parametrize("group", GROUPS)
def test_only_typed_errors_leave_a_reader(group: str, tmp_path: Path) -> None:
    chosen = targets(group)
    report = campaign.run(group, tmp_path, seed=SEED, executions=EACH[group] * len(chosen))
    assert [f"{finding.target}: {finding.kind}\n{finding.detail}" for finding in report.findings] == []
    assert report.crashes == 0
    assert {name: tally.executions for name, tally in report.tallies.items()} == {t.name: EACH[group] for t in chosen}
    for name, tally in report.tallies.items():
        assert tally.slowest_s <= CPU_S, name
        assert len(tally.endings) > 1 or name in IGNORED, f"all mutations of {name} end alike: they get nowhere"


@pytest.mark.parametrize("group", GROUPS)
def test_seeds_are_valid(group: str, tmp_path: Path) -> None:
    """A mutation of what is refused already reaches nothing."""
    for target in targets(group):
        endings = []
        for seed in target.seeds():
            (tmp_path / "input").write_bytes(seed)
            endings.append(target.run(tmp_path / "input"))
        read = [e for e in endings if not e.startswith(("refused", "damaged", "AUDIO_", "IMAGE_", "INVALID_"))]
        assert len(read) > len(endings) / 2, (target.name, endings)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not guided.is_installed(), reason="atheris has wheels for Linux on x86-64 alone")
def test_coverage_guided_run_counts_its_inputs(tmp_path: Path) -> None:
    assert guided.run("messages.cancel", tmp_path, seed=SEED, executions=3000) >= 3000
    assert campaign.saved(tmp_path) == []
