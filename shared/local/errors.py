"""The one exception of the local stack, with codes that scripts can match on."""

from enum import StrEnum


class StackCode(StrEnum):
    """What went wrong, as a stable word."""

    PORT_TAKEN = "PORT_TAKEN"
    DISK_FULL = "DISK_FULL"
    STATE_TAKEN = "STATE_TAKEN"
    BAD_SCALE = "BAD_SCALE"
    BAD_ENGINE = "BAD_ENGINE"
    JARS_MISSING = "JARS_MISSING"
    JARS_ALTERED = "JARS_ALTERED"
    JAVA_MISSING = "JAVA_MISSING"
    STORE_MISSING = "STORE_MISSING"
    TORCH_MISSING = "TORCH_MISSING"
    SUPERVISOR_FAILED = "SUPERVISOR_FAILED"
    BROKER_FAILED = "BROKER_FAILED"
    STORE_FAILED = "STORE_FAILED"
    TRACES_FAILED = "TRACES_FAILED"
    SERVICE_FAILED = "SERVICE_FAILED"
    TOPICS_FAILED = "TOPICS_FAILED"
    STILL_RUNNING = "STILL_RUNNING"


class StackError(Exception):
    """The local stack can't do what was asked; ``message`` is one line that says why and what helps."""

    def __init__(self, code: StackCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
