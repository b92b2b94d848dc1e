"""The engines by name: one line each. What runs them needs no import of them."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from shared.slot.api import Unavailable

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
    deadline_s: float
    """Wall time of one attempt; past it the worker counts as hung."""
    resumes: bool
    """It saves state, from which another attempt goes on."""


ENGINES: dict[str, EngineEntry] = {
    # Half an hour of speech, the most an operator may allow, at two megapixels: 25 minutes on an idle core.
    "puppet": EngineEntry(
        "stages.infer.puppet.engine:PuppetEngine", gpu=False, memory_mb=2048, deadline_s=3600.0, resumes=False
    ),
    # 400 s of speech, the most the model takes, at 512 x 512 and 25 steps are 500 PFLOP: 3 hours at 50 TFLOP/s.
    "sonic": EngineEntry(
        "stages.infer.sonic.engine:SonicEngine", gpu=True, memory_mb=None, deadline_s=12 * 3600.0, resumes=True
    ),
}


def entry(name: str) -> EngineEntry:
    """The engine of that name. Raises ValueError, naming those there are."""
    if name not in ENGINES:
        raise ValueError(f"{ENVIRONMENT}={name!r} is no engine of this build; there are: {', '.join(ENGINES)}")
    return ENGINES[name]


def load_engine(name: str) -> "Engine":
    """Import, make and load an engine. Raises ValueError for an unknown name, and what the engine's load raises."""
    module, _, attribute = entry(name).factory.partition(":")
    try:
        engine: Engine = getattr(import_module(module), attribute)()
    except ModuleNotFoundError as e:
        raise Unavailable(f"the engine {name} needs {e.name}, which this Python lacks: `make setup-{name}`") from e
    engine.load()
    return engine
