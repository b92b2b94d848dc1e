"""What a stage declares about itself. The service's parent process reads it: no media or model library is imported."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from shared.messages.codes import Code
from shared.messages.task import RenderTask
from shared.slot.artifacts import Artifact

Parameters = Callable[[RenderTask], Mapping[str, JsonValue]]
Bytes = Callable[[RenderTask], int]


def _no_bytes(_: RenderTask) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class TooCostly:
    """The rejection of a file that takes too much CPU to decode."""

    code: Code
    message: str
    field: str
    allowed: str


@dataclass(frozen=True, slots=True)
class StageSpec:
    """Inputs, outputs and resource limits of a stage.

    A source is ``request.portrait``, ``request.speech`` (the user's objects) or ``<stage>/<role>`` (an artifact).
    """

    name: str
    handler: str
    """Dotted path of the module with ``load() -> Handler``; imported in the worker process only."""
    inputs: Mapping[str, str]
    """Local file by role -> source; fetched and verified before the handler starts."""
    streams: Mapping[str, str] = field(default_factory=dict)
    """Chunked sequence by role -> source; fetched while the handler runs, deleted once the job is done."""
    starts_early: bool = False
    """The handler can start while the sequences are still made: it needs the output of the stage that makes them only
    once ``Context.chunks`` has ended."""
    previews: bool = False
    """The handler publishes segments of its output while it works, where the request asks for them."""
    marks: bool = False
    """The handler marks its video as synthetic: ``Task.marking`` says how, ``Context.sign`` signs."""
    outputs: Mapping[str, Artifact] = field(default_factory=dict)
    """Artifact by role: what the handler writes, as files or as a chunked sequence."""
    cache_version: str | None = None
    """Set: equal inputs and parameters reuse the cached output. Change it with every change of the stage's output."""
    cache_parameters: Parameters | None = None
    """The values of a task that determine the output, besides its inputs."""
    span: str | None = None
    """Name of the handler's span. A cached output records a span of the same name, so that every trace has it."""
    metadata_attributes: Mapping[str, str] = field(default_factory=dict)
    """Attributes of the span of a cached output: attribute -> field of its metadata."""
    resumes: bool = False
    """The handler saves checkpoints and continues from them: a killed attempt is not lost."""
    one_slot: bool = False
    """One task at a time whatever LIPSTAGE_SLOTS is: several worker processes would share one accelerator."""
    keeps_worker: str | None = None
    """Why one worker process may run the tasks of all tenants, whatever LIPSTAGE_WORKER_REUSE is; None: it may not."""
    memory_mb: int | None = None
    """RLIMIT_AS of the worker process; None where it can't be used (CUDA)."""
    deadline_s: float = 300.0
    """Wall time of one attempt; after it the worker process is killed."""
    needs_bytes: Bytes = _no_bytes
    """Free disk space that an attempt needs, bytes; with less, the task waits before any work."""
    needs_vary: bool = True
    """Whether ``needs_bytes`` depends on the task. If so, a task that needs more than the whole disk fails; otherwise
    the service waits for a larger disk."""
    settings: str | None = None
    """``module:class`` of the stage's settings model. The service's parent reads it, so it is free of heavy imports."""
    variables: tuple[str, ...] = ()
    """Environment variables that the handler reads beside those of ``settings``; ``NAME*`` stands for all that begin
    so. The worker process gets no others, but the system's."""
    reads: tuple[str, ...] = ()
    """Those of its variables that name files or folders which the handler reads, such as weights."""
    accelerator: bool = False
    """The handler uses an accelerator where the machine has one. Its worker process then keeps the files and programs
    that the driver needs, so it must open no user media."""
    too_costly: TooCostly | None = None
    """How a file is refused whose decoding uses more CPU than `shared.slot.limits.limit_cpu` allows it; None for a
    stage that sets no such limit."""
    file_mb: int = 4096
    """Largest file that the worker process may write (RLIMIT_FSIZE), MiB; half an hour of mp4 has 2 GB."""
