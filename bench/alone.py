"""The infer stage alone, in a process of its own: what the code of one checkout needs for a render.

``alternate`` starts one process for each of two checkouts and runs them in turns (ABBA), so that load on the machine
affects both alike. The process runs this file with the checkout's own environment and code.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SIZES = (512, 768)


@dataclass(frozen=True)
class Run:
    """One render by the infer stage: analysis, frames and their conversion to I420, written as chunks.

    wall_s: seconds; cpu_s: CPU seconds of all threads; video_s: length of the video; peak_mb: of the process so far.
    """

    wall_s: float
    cpu_s: float
    video_s: float
    peak_mb: float

    @property
    def x_real_time(self) -> float:
        """Seconds of video per second of work."""
        return self.video_s / self.wall_s


def interpreter(checkout: Path) -> str:
    """The Python of a checkout's own environment; this one for this checkout. Raises SystemExit when it has none."""
    if checkout == Path(__file__).resolve().parents[1]:
        return sys.executable
    python = checkout / ".venv" / "bin" / "python"
    if not python.is_file():
        raise SystemExit(f"{checkout} has no environment: run `make setup-dev` there")
    return str(python)


class Worker:
    """A process that renders the sample with a checkout's own code."""

    def __init__(self, checkout: Path) -> None:
        self._process = subprocess.Popen(
            [interpreter(checkout), Path(__file__).resolve()],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": str(checkout), "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def render(self, size: int) -> Run:
        """The sample at that size. Raises SystemExit when the process has ended."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{size}\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the process that renders has ended")
        return Run(**json.loads(line))

    def close(self) -> None:
        """End the process and wait for it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()


@contextlib.contextmanager
def worker(checkout: Path) -> Iterator[Worker]:
    """A worker that ends with the block."""
    started = Worker(checkout)
    try:
        yield started
    finally:
        started.close()


def alternate(here: Path, baseline: Path, size: int, rounds: int) -> list[tuple[Run, Run]]:
    """Pairs (here, baseline) of renders next to each other in time, after one warm-up of each."""
    pairs = []
    with worker(here) as current, worker(baseline) as previous:
        current.render(size), previous.render(size)
        for number in range(rounds):
            if number % 2:
                second = previous.render(size)
                pairs.append((current.render(size), second))
            else:
                first = current.render(size)
                pairs.append((first, previous.render(size)))
    return pairs


def _serve() -> None:
    """Render for every size on standard input, and write how long it took."""
    root = Path(os.environ["PYTHONPATH"])
    sys.path[:] = [str(root), *(p for p in sys.path if Path(p).resolve() != Path(__file__).resolve().parent)]
    import stages.audio.handler
    import stages.face.handler
    import stages.infer.handler
    from shared.messages import task as messages
    from shared.messages.refs import InputRef
    from shared.messages.request import Params, RenderRequest
    from shared.slot.api import Task

    # A baseline may be version 0.1.0, which has other names for the harness, a stage's outputs and their metadata.
    harness = import_module("tests.stage_harness" if find_spec("tests.stage_harness") else "shared.slot.testing")
    is_current = hasattr(messages, "StageOutput")
    stage_output: Any = getattr(messages, "StageOutput" if is_current else "Product")
    outputs_name, metadata_name = ("outputs", "metadata") if is_current else ("products", "facts")
    samples, ref = root / "samples", InputRef(bucket="inputs", key="default/x")
    audio, face, infer = (s.handler.load() for s in (stages.audio, stages.face, stages.infer))
    for line in sys.stdin:
        request = RenderRequest(portrait=ref, speech=ref, params=Params(min_resolution=int(line)))

        def task(outputs: dict[str, Any], inputs: dict[str, Path], request: RenderRequest = request) -> Task:
            fields: dict[str, Any] = {"request": request, "submitted_ms": 0, outputs_name: outputs}
            return Task(messages.RenderTask(job_id="j", request_id="r", **fields), inputs)

        def metadata(result: Any) -> Any:
            return getattr(result, metadata_name)

        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            results = {
                "audio": audio(harness.StageHarness(folder / "a"), task({}, {"speech": samples / "speech.wav"})),
                "face": face(harness.StageHarness(folder / "f"), task({}, {"portrait": samples / "portrait.png"})),
            }
            outputs = {
                name: stage_output(attempt="1", **{metadata_name: metadata(result).model_dump(mode="json")})
                for name, result in results.items()
            }
            infer_task = task(outputs, {**results["audio"].files, **results["face"].files})
            wall, cpu = time.monotonic(), time.process_time()
            video = metadata(infer(harness.StageHarness(folder / "i"), infer_task))
            wall, cpu = time.monotonic() - wall, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        run = {"wall_s": wall, "cpu_s": cpu, "video_s": video.frames / video.fps, "peak_mb": peak}
        sys.stdout.write(json.dumps(run) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
