"""The engines by name: one line each. What runs them needs no import of them."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stages.infer.engine import Engine

DEFAULT_ENGINE = "puppet"
ENVIRONMENT = "LIPSTAGE_ENGINE"
"""Environment variable that names the engine a service runs."""


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """Where an engine's class is, and what a machine must give it."""

    factory: str
    """``module:class``; imported only by the process that loads it."""
    gpu: bool
    memory_mb: int | None
    """Bound of the worker's address space; None with a GPU, whose driver maps far more than it uses."""


ENGINES: dict[str, EngineEntry] = {
    "puppet": EngineEntry("stages.infer.puppet.engine:PuppetEngine", gpu=False, memory_mb=2048),
}


def entry(name: str) -> EngineEntry:
    """The engine of that name. Raises ValueError, naming those there are."""
    if name not in ENGINES:
        raise ValueError(f"{ENVIRONMENT}={name!r} is no engine of this build; there are: {', '.join(ENGINES)}")
    return ENGINES[name]


def load_engine(name: str) -> "Engine":
    """Import, make and load an engine. Raises ValueError for an unknown name, and what the engine's load raises."""
    module, _, attribute = entry(name).factory.partition(":")
    engine: Engine = getattr(import_module(module), attribute)()
    engine.load()
    return engine
