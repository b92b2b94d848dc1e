"""Videos for bench.quality, by the checkout that is first on the path: one process, networks loaded once, no services.

``python bench/films.py < jobs.json``: a list of {portrait, speech, film, metadata}, paths. Writes the mp4, then
metadata and seconds of the stages as JSON. It also runs with the code of version 0.1.0, for comparisons.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NAMES = ("audio", "face", "infer", "encode")


def render(handlers: dict[str, Any], job: dict[str, str], scratch: Path) -> None:
    """One video, rendered by the stages' own handlers."""
    from shared.messages import task as messages
    from shared.messages.request import RenderRequest
    from shared.slot.api import Task

    request = RenderRequest.model_validate({"portrait": {"key": "default/p"}, "speech": {"key": "default/s"}})
    # Version 0.1.0 has other names for the harness, a stage's outputs, their metadata, and uploaded chunks.
    harness = import_module("tests.stage_harness" if find_spec("tests.stage_harness") else "shared.slot.testing")
    is_current = hasattr(messages, "StageOutput")
    stage_output: Any = getattr(messages, "StageOutput" if is_current else "Product")
    outputs_name, metadata_name = ("outputs", "metadata") if is_current else ("products", "facts")
    outputs: dict[str, Any] = {}
    warnings: list[str] = []

    def stage(name: str, inputs: dict[str, Path], **sequences: list[Path]) -> tuple[Any, Any]:
        context = harness.StageHarness(scratch / name, sequences)
        fields: dict[str, Any] = {"request": request, "submitted_ms": 0, outputs_name: dict(outputs)}
        task = messages.RenderTask(job_id="j", request_id="r", **fields)
        start = time.monotonic()
        result = handlers[name](context, Task(task, inputs))
        seconds = time.monotonic() - start
        metadata = getattr(result, metadata_name).model_dump(mode="json")
        outputs[name] = stage_output(attempt="1", seconds=seconds, **{metadata_name: metadata})
        warnings.extend(str(code) for code, _ in context.warnings)
        return result, context

    audio, _ = stage("audio", {"speech": Path(job["speech"])})
    face, _ = stage("face", {"portrait": Path(job["portrait"])})
    _, context = stage("infer", {**audio.files, **face.files})
    uploaded = getattr(context, "uploaded" if is_current else "shipped")
    chunks = [path for path, _ in uploaded["frames"]]
    done, _ = stage("encode", {"sound": audio.files["sound"], "portrait": face.files["image"]}, frames=chunks)
    film = Path(job["film"])
    film.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(done.files["video"], film)
    record = {
        "seconds": {name: output.seconds for name, output in outputs.items()},
        "encode": getattr(outputs["encode"], metadata_name),
        "warnings": warnings,
    }
    Path(job["metadata"]).write_text(json.dumps(record))


def main() -> None:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from shared.slot.api import Rejected

    handlers = {name: import_module(f"stages.{name}.handler").load() for name in NAMES}
    for job in json.load(sys.stdin):
        with tempfile.TemporaryDirectory() as scratch:
            try:
                render(handlers, job, Path(scratch))
            except Rejected as e:  # A row of the table. Any other error is a fault and is not kept.
                Path(job["metadata"]).parent.mkdir(parents=True, exist_ok=True)
                Path(job["metadata"]).write_text(json.dumps({"refused": str(e.code)}))


if __name__ == "__main__":
    main()
