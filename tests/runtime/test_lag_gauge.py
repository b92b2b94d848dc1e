"""The metric of a partition's lag."""

import pytest

from shared.runtime.consume.lag_gauge import LagGauge
from shared.runtime.consume.statistics import PartitionStatistics
from shared.telemetry import metrics


def lags() -> dict[str, float]:
    samples = next(iter(metrics.CONSUMER_LAG.collect())).samples
    return {sample.labels["partition"]: sample.value for sample in samples if sample.labels["topic"] == "lagging"}


def lag(records: int) -> PartitionStatistics:
    return PartitionStatistics(consumer_lag=records)


def test_lag_of_a_partition_that_is_gone_is_removed() -> None:
    gauge = LagGauge()
    gauge.set({("lagging", "0"): lag(3), ("lagging", "1"): lag(0), ("lagging", "2"): lag(-1)})
    assert lags() == {"0": 3, "1": 0}
    gauge.set({("lagging", "1"): lag(2)})
    assert lags() == {"1": 2}
    gauge.set({})
    assert lags() == {}


def test_scrape_between_two_reports_finds_every_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    gauge = LagGauge()
    gauge.set({("lagging", "0"): lag(3), ("lagging", "1"): lag(4)})
    seen: list[set[str]] = []
    labels = metrics.CONSUMER_LAG.labels

    def scraped(*names: str) -> object:
        seen.append(set(lags()))
        return labels(*names)

    monkeypatch.setattr(metrics.CONSUMER_LAG, "labels", scraped)
    gauge.set({("lagging", "0"): lag(1), ("lagging", "1"): lag(1)})
    assert seen == [{"0", "1"}, {"0", "1"}]
    gauge.set({})


def test_topics_of_tenants_are_one_series() -> None:
    gauge, own = LagGauge(), ("t.render.requests.acme", "t.render.requests.beta", "t.render.requests")
    gauge.set({(topic, "0"): lag(2) for topic in own})
    samples = [
        one for one in next(iter(metrics.CONSUMER_LAG.collect())).samples if "render.requests" in one.labels["topic"]
    ]
    assert [(one.labels["topic"], one.value) for one in samples] == [("t.render.requests", 6)]
    gauge.set({})
