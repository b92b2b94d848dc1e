"""The lag of the partitions that this process owns, as a metric."""

from collections.abc import Mapping

from shared.messages.tenant_topics import without_tenant
from shared.runtime.consume.statistics import PartitionStatistics
from shared.telemetry import metrics


class LagGauge:
    """Sets the lag of each partition. A scrape at any time finds every owned partition: nothing is cleared first."""

    def __init__(self) -> None:
        self._reported: set[tuple[str, str]] = set()

    def set(self, partitions: Mapping[tuple[str, str], PartitionStatistics]) -> None:
        """Report the known lags, and no longer those of partitions that are gone: their new owners report them."""
        known: dict[tuple[str, str], int] = {}
        for (topic, partition), one in partitions.items():
            if one.consumer_lag >= 0:
                # Those of tenants that have topics of their own count together: any number of tenants is one series.
                name = without_tenant(topic), partition
                known[name] = known.get(name, 0) + one.consumer_lag
        for name, lag in known.items():
            metrics.CONSUMER_LAG.labels(*name).set(lag)
        for name in self._reported - known.keys():
            metrics.CONSUMER_LAG.remove(*name)
        self._reported = set(known)
