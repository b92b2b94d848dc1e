"""The stages of a render in order: one line each. To add one, add a folder under stages/ and a line here."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """A stage's place in the pipeline."""

    name: str
    source: str
    """Topic the stage consumes; ``{engine}`` stands for the request's engine."""
    module: str
    """Package with the stage's specification ``STAGE``, or ``stage_of(engine)`` where each engine has its own; imported
    only by the service that runs it."""

    @property
    def per_engine(self) -> bool:
        """Whether each engine has a topic and a group of its own."""
        return "{engine}" in self.source


PIPELINE = (
    Step("audio", "render.requests", "stages.audio"),
    Step("face", "render.face", "stages.face"),
    Step("infer", "render.infer.{engine}", "stages.infer"),
    Step("encode", "render.encode", "stages.encode"),
)

STAGES = tuple(step.name for step in PIPELINE)
FIRST = STAGES[0]
"""The front: it reads requests of users; every other stage reads tasks of ours."""


def step(name: str) -> Step:
    """The step of that name. Raises KeyError for a name that is no stage."""
    return {s.name: s for s in PIPELINE}[name]


def following(name: str) -> Step | None:
    """The step after ``name``; None after the last."""
    at = STAGES.index(name) + 1
    return PIPELINE[at] if at < len(PIPELINE) else None
