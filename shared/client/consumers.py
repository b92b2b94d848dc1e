"""Finds the stages of a render that no service consumes: a job waits there until one is started."""

from typing import Self

from confluent_kafka import KafkaException

from shared.messages.engines import DEFAULT_ENGINE
from shared.messages.pipeline import PIPELINE
from shared.runtime.admin_process import START_S, AdminProcess
from shared.runtime.settings import RuntimeSettings

ANSWER_S = 5.0
"""How long the broker may take to describe the groups, seconds."""


class ConsumerCheck:
    """A check that runs in a process of its own beside other work; ``result`` or ``close`` ends it."""

    def __init__(self, settings: RuntimeSettings, engine: str = DEFAULT_ENGINE) -> None:
        """Start the check of the stages that render with ``engine``."""
        self._groups = {settings.group(step.name, engine if step.per_engine else None): step.name for step in PIPELINE}
        self._process: AdminProcess | None
        try:
            self._process = AdminProcess(
                settings, "members", ANSWER_S + START_S, groups=list(self._groups), timeout_s=ANSWER_S
            )
        except (OSError, ValueError):
            self._process = None

    def result(self) -> tuple[str, ...]:
        """As ``stages_without_consumers``."""
        if self._process is None:
            return ()
        try:
            members: dict[str, int] = self._process.result()
        except KafkaException:
            return ()
        return tuple(stage for group, stage in self._groups.items() if members.get(group) == 0)

    def close(self) -> None:
        """End the check, if it still runs."""
        if self._process is not None:
            self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def stages_without_consumers(settings: RuntimeSettings, engine: str = DEFAULT_ENGINE) -> tuple[str, ...]:
    """The stages, in the order of the pipeline, whose consumer group has no member; empty when every stage has one.

    The check is best effort and takes at most 20 s: the result is also empty when the broker does not answer, or does
    not let this client describe the groups.
    """
    return ConsumerCheck(settings, engine).result()
