"""The consumer groups of the stages: which of them no service is a member of, and how far they are behind."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from confluent_kafka import KafkaException

from shared.client.errors import BrokerUnreachable
from shared.messages.engines import DEFAULT_ENGINE
from shared.messages.pipeline import PIPELINE
from shared.runtime.admin_process import START_S, AdminProcess, ask
from shared.runtime.settings import RuntimeSettings

ANSWER_S = 5.0
"""How long the broker may take to describe the groups, seconds."""
LIMIT_S = ANSWER_S + START_S


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


@dataclass(frozen=True, slots=True)
class StageGroup:
    """The consumer group of a stage, and of one engine where each has its own."""

    stage: str
    engine: str | None
    lag: int | None
    """Records of both lanes that are not committed; None where the broker does not tell this client."""
    members: int | None
    """Running services, in the same way."""


def stage_groups(settings: RuntimeSettings, engines: Iterable[str]) -> list[StageGroup]:
    """The groups of all stages, in the order of the pipeline. Takes at most 40 s. Raises BrokerUnreachable."""
    steps = [(step, engine) for step in PIPELINE for engine in (engines if step.per_engine else (None,))]
    names = {(step.name, engine): settings.group(step.name, engine) for step, engine in steps}
    # The other lane's topic begins with the same name, and so do those of tenants.
    topics = {names[step.name, engine]: f"{settings.topic(step.topic(engine))}*" for step, engine in steps}
    try:
        lags: dict[str, Any] = ask(settings, "lags", LIMIT_S, groups=topics, timeout_s=ANSWER_S)
        members: dict[str, Any] = ask(settings, "members", LIMIT_S, groups=list(topics), timeout_s=ANSWER_S)
    except KafkaException as e:
        raise BrokerUnreachable(f"the broker does not describe the groups: {e.args[0].str()}") from None
    return [StageGroup(stage, engine, lags.get(group), members.get(group)) for (stage, engine), group in names.items()]
