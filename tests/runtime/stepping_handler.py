"""A handler of many steps with a checkpoint every few of them; a file decides how far it may go.

In LIPSTAGE_SCRATCH_DIR: ``limit`` has the number of steps that may be done, ``steps`` gets a line ``PARENT STEP`` for
each, where PARENT is the process id of the service.
"""

import os
import time

from pydantic import BaseModel

from shared.slot.api import Context, Handler, Result, Task

STEPS = 20
EVERY = 5
"""Steps between two checkpoints."""


class Metadata(BaseModel):
    steps: int = STEPS


def handle(context: Context, task: Task) -> Result:
    control = next(folder for folder in context.scratch.parents if (folder / "limit").exists())
    first = int(context.checkpoint.read_text()) if context.checkpoint is not None else 0
    for step in range(first, STEPS):
        while int((control / "limit").read_text()) <= step:
            context.raise_if_cancelled()
            time.sleep(0.02)
        with (control / "steps").open("a") as file:
            file.write(f"{os.getppid()} {step}\n")
        if (step + 1) % EVERY == 0:
            path = context.scratch / f"checkpoint-{step + 1}"
            path.write_text(str(step + 1))
            context.save_checkpoint(path, step + 1)
    return Result(metadata=Metadata())


def load() -> Handler:
    return handle
