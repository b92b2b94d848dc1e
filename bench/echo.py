"""Stages that only copy an artifact: what remains is the pipeline's own cost."""

import argparse
import os

from bench import store_requests
from shared.messages.metadata import AudioMetadata, EncodeMetadata, InferMetadata
from shared.messages.pipeline import STAGES
from shared.runtime.host.stage_service import serve
from shared.runtime.settings import RuntimeSettings
from shared.slot.api import Context, Handler, Result, Task
from shared.slot.spec import StageSpec

SIZE = "LIPSTAGE_BENCH_BYTES"
VIDEO = {"width": 2, "height": 2, "fps": 25, "frames": 1, "container_drift_ms": 0.0, "bytes": 0}


class Metadata(AudioMetadata, InferMetadata, EncodeMetadata):
    """The metadata that the done event needs, with placeholder values."""


METADATA = Metadata(
    engine="puppet", steps=1, codec="none", sample_rate=1, channels=1, duration_s=0.04, sound_channels=1, **VIDEO
)


def handle(context: Context, task: Task) -> Result:
    """Read the input, write as many new bytes."""
    size = int(os.environ[SIZE])
    for path in task.inputs.values():
        path.read_bytes()
    names = ("video", "poster") if task.job.outputs and len(task.job.outputs) == len(STAGES) - 1 else ("blob",)
    files = {}
    for name in names:
        files[name] = context.scratch / name
        files[name].write_bytes(os.urandom(size if name != "poster" else 1))
    return Result(metadata=METADATA, files=files)


def load() -> Handler:
    """Nothing to load."""
    return handle


def spec(stage: str) -> StageSpec:
    """The echo in place of that stage."""
    index = STAGES.index(stage)
    source = "request.speech" if index == 0 else f"{STAGES[index - 1]}/blob"
    return StageSpec(name=stage, handler="bench.echo", inputs={"blob": source}, memory_mb=1024, variables=(SIZE,))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("stage", choices=STAGES)
    name = parser.parse_args().stage
    store_requests.count()
    raise SystemExit(serve(name, RuntimeSettings(), spec(name)))
