"""Reports how far the worker processes of a service are confined: metric, /readyz, and a warning below full."""

import os

import structlog

from shared.slot.confinement.confine import LEVELS, level
from shared.telemetry import metrics

log = structlog.get_logger()


class ConfinementReport:
    """The confinement of one service's worker processes. Any thread."""

    def __init__(self, stage: str, details: dict[str, str]) -> None:
        """``details`` are those of /readyz; the level is added once a worker process has started."""
        self._stage = stage
        self._details = details
        self._reported: tuple[str, ...] = ()

    def take(self, missing: tuple[str, ...]) -> None:
        """A worker process has started that lacks ``missing``: a line for each part, with its reason."""
        reached = level(missing)
        metrics.CONFINEMENT_LEVEL.labels(self._stage).set(LEVELS.index(reached))
        self._details["confinement"] = reached
        if missing and missing != self._reported:
            log.warning("workers_not_confined", level=reached, missing=list(missing))
        self._reported = missing


def warn_of_root() -> None:
    """Log a warning when this process runs as root, whose worker processes could do more where confinement fails."""
    if os.geteuid() == 0:
        log.warning("running_as_root", advice="run the service as a user of its own")
