"""The stages of a render in order, one line each. A new stage is a folder under stages/ and a line here."""

from dataclasses import dataclass

from shared.messages.lanes import INTERACTIVE, LANES, Lane, lane_topic


@dataclass(frozen=True, slots=True)
class Step:
    """The place of a stage in the pipeline."""

    name: str
    source: str
    """Topic that the stage consumes for the interactive lane; ``{engine}`` is the engine of the request."""
    module: str
    """Package with the specification ``STAGE``, or with ``stage_of(engine)`` where each engine has its own; only the
    service of the stage imports it."""

    @property
    def per_engine(self) -> bool:
        """Whether each engine has a topic and a group of its own."""
        return "{engine}" in self.source

    def topic(self, engine: str | None, lane: Lane = INTERACTIVE) -> str:
        """The topic of a lane, without the deployment's prefix; ``engine`` counts where each has topics of its own."""
        return lane_topic(self.source.format(engine=engine), lane)

    def topics(self, engine: str | None) -> tuple[str, ...]:
        """The topics that the stage consumes, one a lane, the interactive one first."""
        return tuple(self.topic(engine, lane) for lane in LANES)


PIPELINE = (
    Step("audio", "render.requests", "stages.audio"),
    Step("face", "render.face", "stages.face"),
    Step("infer", "render.infer.{engine}", "stages.infer"),
    Step("encode", "render.encode", "stages.encode"),
)

STAGES = tuple(step.name for step in PIPELINE)
FIRST = STAGES[0]
"""The front: it reads requests of users; every other stage reads tasks of ours."""
RELAY = "relay"
"""The service that sends records on retry topics back to their stages."""
SERVICES = (*STAGES, RELAY)
PROJECTION = "projection"
"""The service that keeps the state of every job, for answers without a scan of the events. Jobs do not need it, and the
local stack starts it with ``--scale projection=1`` only."""
GATEWAY = "gateway"
"""The front door for programs and people. Jobs do not need it; the local stack starts it with ``--gateway`` only."""
WEBHOOKS = "webhooks"
"""The service that tells endpoints of tenants that renders have ended. Jobs do not need it; the local stack starts it
with the gateway, where endpoints are registered."""
OPTIONAL = (PROJECTION, GATEWAY, WEBHOOKS)
"""Services that run where they are asked for, in the local stack one replica of each at most; all are in
``stages.gateway``."""
FAILING = (*SERVICES, WEBHOOKS)
"""Services whose records become dead letters that can be replayed."""


def step(name: str) -> Step:
    """The step with this name. Raises KeyError for an unknown name."""
    return {s.name: s for s in PIPELINE}[name]


def following(name: str) -> Step | None:
    """The step after ``name``; None after the last."""
    index = STAGES.index(name) + 1
    return PIPELINE[index] if index < len(PIPELINE) else None
