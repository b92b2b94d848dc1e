"""The infer service with the puppet engine and faults that a job's labels ask for: run as a module in place of it.

``late_ms``: the mouth moves that much too late. ``crash``: the worker process dies in the first attempt, or in every
one until the file of FAULT_GATE exists. ``retry``: the first attempt lacks memory of an accelerator. ``hold``: the
attempt lasts until it is cancelled.
"""

import os
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from shared.messages.engines import DEFAULT_ENGINE
from shared.runtime.host import stage_service
from shared.runtime.host.stage_settings import stage_settings
from shared.slot.api import Context, Handler, Result, Task
from stages.infer import STAGE
from stages.infer.engine import Animation, Engine, Portrait, RenderParams, Speech
from stages.infer.handler import InferHandler, load_engine

GATE = "FAULT_GATE"
"""Environment variable: a path. Its folder keeps which faults were made."""
MEL_HZ = 100
PCM_HZ = 16_000


class OutOfMemoryError(Exception):
    """Named as that of an accelerator."""


@dataclass
class LateEngine:
    """Animates to a speech that begins late."""

    engine: Engine
    late_ms: int = 0

    @property
    def name(self) -> str:
        return self.engine.name

    def load(self) -> None:
        self.engine.load()

    def prepare(
        self, portrait: Portrait, speech: Speech, render: RenderParams, params: BaseModel, context: Context
    ) -> Animation:
        late_s = self.late_ms / 1000
        shifted = replace(
            speech,
            pcm=_later(speech.pcm, round(late_s * PCM_HZ)),
            mel=_later(speech.mel, round(late_s * MEL_HZ)),
            tracks=_later(speech.tracks, round(late_s * MEL_HZ)),
        )
        return self.engine.prepare(portrait, shifted, render, params, context)


def _later(values: np.ndarray, count: int) -> np.ndarray:
    """As long as before: the first column stands in front."""
    return values if count == 0 else np.concatenate([np.repeat(values[..., :1], count, -1), values[..., :-count]], -1)


def _once(job_id: str, fault: str) -> bool:
    """Whether this is the first time."""
    try:
        (Path(os.environ[GATE]).parent / f"{job_id}.{fault}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def load() -> Handler:
    engine = LateEngine(load_engine(DEFAULT_ENGINE))
    render = InferHandler(engine).handle

    def handle(context: Context, task: Task) -> Result:
        labels, job_id = task.job.request.labels, task.job.job_id
        engine.late_ms = int(labels.get("late_ms", "0"))
        match labels.get("crash"):
            case "once" if _once(job_id, "crash"):
                os.kill(os.getpid(), signal.SIGKILL)
            case "always" if not Path(os.environ[GATE]).exists():
                os.kill(os.getpid(), signal.SIGKILL)
        if "retry" in labels and _once(job_id, "retry"):
            raise OutOfMemoryError
        while "hold" in labels:
            context.raise_if_cancelled()
            time.sleep(0.05)
        return render(context, task)

    return handle


if __name__ == "__main__":
    spec = replace(STAGE, handler="tests.pipeline.faulty_puppet", variables=(*STAGE.variables, GATE))
    raise SystemExit(stage_service.serve("infer", stage_settings("infer", DEFAULT_ENGINE), spec))
