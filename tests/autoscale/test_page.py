"""docs/autoscaling.md says what the calculator does."""

import re

import pytest

from bench.autoscale import scenarios
from bench.autoscale.hpa import DEFAULT_UP, Policy
from bench.autoscale.tasks import PIPELINES, StageWork
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "autoscaling.md").read_text()
STAGES = {work.name: work for works in PIPELINES.values() for work in works}


@pytest.mark.parametrize("work", STAGES.values(), ids=STAGES)
def test_the_table_of_values_is_that_of_the_simulation(work: StageWork) -> None:
    (row,) = re.findall(rf"^\| {re.escape(work.name)} \| ([^\n]*) \|$", PAGE.partition("## Rules")[0], re.MULTILINE)
    seconds, slots, target, threshold, least, limited = row.split(" | ")
    assert float(seconds) == pytest.approx(work.seconds(scenarios.MEAN_VIDEO_S), rel=0.05)
    assert (int(slots), float(target)) == (work.slots, work.target_wait_s)
    scaling = scenarios.scaling(work, 16)
    assert int(threshold) == scaling.trigger.lag_threshold
    assert least == ("0" if scaling.to_zero else "1")
    assert limited == str(scaling.trigger.limit_to_partitions_with_lag).lower()


def test_the_behaviour_on_the_page_is_that_of_the_simulation() -> None:
    assert "scale up by 4 pods or 100 % in 15 s" in PAGE
    assert DEFAULT_UP.policies == (Policy("Pods", 4, 15), Policy("Percent", 100, 15))
    assert "scale down by 10 % or 1 pod in 60 s" in PAGE.replace("\n", " ")
    assert scenarios.DOWN.policies == (Policy("Percent", 10, 60), Policy("Pods", 1, 60))
    assert scenarios.DOWN.window_s == 300
