"""The exception of the local stack, with stable codes for scripts."""

from collections.abc import Sequence
from enum import StrEnum


class StackCode(StrEnum):
    """The stable code of a failure."""

    PORT_TAKEN = "PORT_TAKEN"
    DISK_FULL = "DISK_FULL"
    STATE_TAKEN = "STATE_TAKEN"
    STATE_UNUSABLE = "STATE_UNUSABLE"
    BAD_SCALE = "BAD_SCALE"
    BAD_ENGINE = "BAD_ENGINE"
    PACKAGE_MISSING = "PACKAGE_MISSING"
    JARS_MISSING = "JARS_MISSING"
    JARS_ALTERED = "JARS_ALTERED"
    JAVA_MISSING = "JAVA_MISSING"
    STORE_MISSING = "STORE_MISSING"
    TORCH_MISSING = "TORCH_MISSING"
    SUPERVISOR_FAILED = "SUPERVISOR_FAILED"
    BROKER_FAILED = "BROKER_FAILED"
    STORE_FAILED = "STORE_FAILED"
    TRACES_FAILED = "TRACES_FAILED"
    PROGRAM_MISSING = "PROGRAM_MISSING"
    TEMPO_FAILED = "TEMPO_FAILED"
    PROMETHEUS_FAILED = "PROMETHEUS_FAILED"
    GRAFANA_FAILED = "GRAFANA_FAILED"
    SERVICE_FAILED = "SERVICE_FAILED"
    TOPICS_FAILED = "TOPICS_FAILED"
    STILL_RUNNING = "STILL_RUNNING"


class StackError(Exception):
    """A request to the local stack failed; ``message`` is one line with the reason and the remedy.

    ``details`` has a line for each further fault.
    """

    def __init__(self, code: StackCode, message: str, details: Sequence[str] = ()) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = tuple(details)
