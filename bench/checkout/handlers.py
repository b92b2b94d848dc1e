"""The four handlers in one plain process: no broker, no object store, files in a scratch folder.

``python bench/checkout/handlers.py``: reads one job per line from standard input, {portrait, speech, size, seed}, and
writes one line for each: seconds and CPU seconds by stage, and the size of the video. The first line it writes is
``{"ready": true}``, when all networks are loaded. The peers of bench.peers call ``Handlers`` themselves.
"""

import json
import os
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

NAMES = ("audio", "face", "infer", "encode")
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LIPSTAGE_FRAME_CODEC": "raw"}
"""As in a service's worker process; and frames stay raw, since nobody has to send them anywhere."""


class Handlers:
    """The handlers of the four stages, loaded once."""

    def __init__(self) -> None:
        self._handlers = {name: import_module(f"stages.{name}.handler").load() for name in NAMES}

    def render(self, job: dict[str, Any], target: Path | None = None) -> dict[str, Any]:
        """One video, by the handlers one after the other; its file is moved to ``target``.

        Returns ``seconds`` and ``cpu_s`` by stage, and ``bytes`` of the video.
        """
        with tempfile.TemporaryDirectory() as scratch:
            return self._render(job, Path(scratch), target)

    def _render(self, job: dict[str, Any], scratch: Path, target: Path | None) -> dict[str, Any]:
        from shared.messages.request import RenderRequest
        from shared.messages.task import RenderTask, StageOutput
        from shared.slot.api import Task
        from tests.stage_harness import StageHarness

        request = RenderRequest.model_validate(
            {
                "portrait": {"key": "default/p"},
                "speech": {"key": "default/s"},
                "params": {"min_resolution": job["size"], "seed": job["seed"]},
            }
        )
        outputs: dict[str, StageOutput] = {}
        cpu: dict[str, float] = {}

        def stage(name: str, inputs: dict[str, Path], **chunks: list[Path]) -> tuple[Any, StageHarness]:
            context = StageHarness(scratch / name, chunks)
            task = RenderTask(job_id="j", request_id="r", request=request, submitted_ms=0, outputs=dict(outputs))
            start, start_cpu = time.monotonic(), time.process_time()
            result = self._handlers[name](context, Task(task, inputs))
            seconds, cpu[name] = time.monotonic() - start, time.process_time() - start_cpu
            metadata = result.metadata.model_dump(mode="json")
            outputs[name] = StageOutput(attempt="1", seconds=seconds, metadata=metadata)
            return result, context

        audio, _ = stage("audio", {"speech": Path(job["speech"])})
        face, _ = stage("face", {"portrait": Path(job["portrait"])})
        _, context = stage("infer", {**audio.files, **face.files})
        frames = [path for path, _ in context.uploaded["frames"]]
        done, _ = stage("encode", {"sound": audio.files["sound"], "portrait": face.files["image"]}, frames=frames)
        video: Path = done.files["video"]
        size = video.stat().st_size
        if target is not None:
            video.replace(target)
        return {"seconds": {name: output.seconds for name, output in outputs.items()}, "cpu_s": cpu, "bytes": size}


def main() -> None:
    """Serve jobs until standard input ends."""
    os.environ.update(ENVIRONMENT)
    handlers = Handlers()
    sys.stdout.write('{"ready": true}\n')
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(handlers.render(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]
    main()
