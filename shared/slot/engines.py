"""What an engine declares about itself; read by the service's parent and the local stack, so free of heavy imports."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from shared.messages.engines import ENGINES

if TYPE_CHECKING:
    from shared.messages.task import RenderTask


@dataclass(frozen=True, slots=True)
class EngineEnvironment:
    """A Python environment of the engine's own, for libraries that the other services must not have.

    The variable ``LIPSTAGE_<ENGINE>_PYTHON`` names another interpreter.
    """

    module: str
    """A module that only this environment has, such as ``torch``."""
    folder: str
    """Folder of the environment in the checkout."""
    setup: str
    """Command that creates it."""


@dataclass(frozen=True, slots=True)
class ExternalWeights:
    """Weights that the engine needs and this project does not ship.

    The variable ``LIPSTAGE_<ENGINE>_WEIGHTS`` names their folder or a place in the object store.
    """

    catalogue: Path
    """JSON file with every file's path, size, SHA-256, licence and source."""
    program: str
    """Module that checks and converts them (``python -m``); it runs in the engine's environment."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """An engine's class and its requirements."""

    factory: str
    """``module:class`` of the engine; imported only by the worker that loads it."""
    gpu: bool = False
    """It needs an accelerator, so a service runs one task at a time."""
    memory_mb: int | None = None
    """RLIMIT_AS of the worker; None with a GPU, whose driver maps far more than it uses."""
    deadline_s: float = 3600.0
    """Wall time of one attempt; past it the worker is killed."""
    checkpoint_bytes: "Callable[[RenderTask], int] | None" = None
    """Size of a checkpoint of a task; None for an engine that saves none."""
    environment: EngineEnvironment | None = None
    """None: the environment of the other services."""
    weights: ExternalWeights | None = None
    """None: the weights are shipped."""
    settings: str | None = None
    """``module:class`` of the engine's settings model, for the configuration page."""
    variables: tuple[str, ...] = ()
    """Variables of its libraries, such as ``CUDA_*``, that its worker process gets beside ``LIPSTAGE_<ENGINE>_*``."""


def engine_spec(name: str) -> EngineSpec:
    """The declaration of a registered engine. Raises ValueError for a name that is not registered."""
    if name not in ENGINES:
        raise ValueError(f"this build has no engine {name!r}; engines are {', '.join(ENGINES)}")
    return cast("EngineSpec", import_module(ENGINES[name].package).ENGINE)
