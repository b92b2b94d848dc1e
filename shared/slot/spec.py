"""What a stage declares about itself; read by the service's parent, so free of media and model imports."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from shared.messages.task import RenderTask

Parameters = Callable[[RenderTask], Mapping[str, JsonValue]]
Bytes = Callable[[RenderTask], int]


def _no_bytes(_: RenderTask) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class StageSpec:
    """A stage's needs and manners.

    A source is ``request.portrait``, ``request.speech`` (the user's objects) or ``<stage>/<role>`` (an artifact).
    """

    name: str
    handler: str
    """Dotted path of the module with ``load() -> Handler``; imported in the worker only."""
    inputs: Mapping[str, str]
    """Local file by role -> source; fetched and verified before the handler starts."""
    streams: Mapping[str, str] = field(default_factory=dict)
    """Chunked sequence by role -> source; fetched while the handler runs, deleted once the job is done."""
    cache_version: str | None = None
    """Set: equal inputs and parameters give the cached output. Change it with every change of the stage's output."""
    cache_parameters: Parameters | None = None
    """What of the task, beside its inputs, decides the output."""
    span: str | None = None
    """The handler's inner span. A cached output is told under the same name: a trace has it whether or not there was
    work."""
    metadata_attributes: Mapping[str, str] = field(default_factory=dict)
    """Attributes of that span that a cached output's metadata give: attribute -> fact."""
    resumes: bool = False
    """The handler saves state, and goes on from it: a killed attempt is not lost."""
    one_slot: bool = False
    """One task at a time whatever LIPSTAGE_SLOTS says: worker processes would share one accelerator."""
    memory_mb: int | None = None
    """RLIMIT_AS of the worker; None where it can't be used (CUDA)."""
    deadline_s: float = 300.0
    """Wall time of one attempt; past it the worker is killed."""
    needs_bytes: Bytes = _no_bytes
    """Free disk an attempt wants, bytes; with less it waits, before any work."""
    needs_vary: bool = True
    """Whether ``needs_bytes`` depends on the task. A task that needs more than the whole disk then fails by itself;
    where all tasks need the same, the service waits for a larger disk."""
    file_mb: int = 4096
    """Largest file the worker may write (RLIMIT_FSIZE), MiB; the largest of ours, an mp4 of half an hour, has 2 GB."""
