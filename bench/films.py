"""Films for bench.quality, by whichever checkout is first on the path: one process, one set of networks, no services.

``python bench/films.py < jobs.json``: a list of {portrait, speech, film, facts}, paths. Writes the mp4, then metadata
and seconds of the stages as JSON. Kept to what every version of the stages has, so that it runs an old one too.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

NAMES = ("audio", "face", "infer", "encode")


def render(handlers: dict[str, Any], job: dict[str, str], scratch: Path) -> None:
    """One film through the stages' own handlers."""
    from shared.messages.request import RenderRequest
    from shared.messages.task import RenderTask, StageOutput
    from shared.slot.api import Task
    from tests.stage_harness import StageHarness

    request = RenderRequest.model_validate({"portrait": {"key": "default/p"}, "speech": {"key": "default/s"}})
    outputs: dict[str, StageOutput] = {}
    warnings: list[str] = []

    def stage(name: str, inputs: dict[str, Path], **sequences: list[Path]) -> tuple[Any, StageHarness]:
        context = StageHarness(scratch / name, sequences)
        task = RenderTask(job_id="j", request_id="r", request=request, submitted_ms=0, outputs=dict(outputs))
        begun = time.monotonic()
        result = handlers[name](context, Task(task, inputs))
        seconds = time.monotonic() - begun
        outputs[name] = StageOutput(attempt="1", metadata=result.metadata.model_dump(mode="json"), seconds=seconds)
        warnings.extend(str(code) for code, _ in context.warnings)
        return result, context

    audio, _ = stage("audio", {"speech": Path(job["speech"])})
    face, _ = stage("face", {"portrait": Path(job["portrait"])})
    _, context = stage("infer", {**audio.files, **face.files})
    chunks = [path for path, _ in context.uploaded["frames"]]
    done, _ = stage("encode", {"sound": audio.files["sound"], "portrait": face.files["image"]}, frames=chunks)
    film, metadata = Path(job["film"]), Path(job["metadata"])
    film.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(done.files["video"], film)
    found = {
        "seconds": {name: output.seconds for name, output in outputs.items()},
        "encode": outputs["encode"].metadata,
        "warnings": warnings,
    }
    metadata.write_text(json.dumps(found))


def main() -> None:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from shared.slot.api import Rejected

    handlers = {name: import_module(f"stages.{name}.handler").load() for name in NAMES}
    for job in json.load(sys.stdin):
        with tempfile.TemporaryDirectory() as scratch:
            try:
                render(handlers, job, Path(scratch))
            except Rejected as e:  # a row of the table; any other error is a fault, and is not kept
                Path(job["metadata"]).parent.mkdir(parents=True, exist_ok=True)
                Path(job["metadata"]).write_text(json.dumps({"refused": str(e.code)}))


if __name__ == "__main__":
    main()
