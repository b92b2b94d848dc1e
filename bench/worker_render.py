"""One render by the four worker processes of services, without broker and object store: files go from one to the next.

For what concerns worker processes alone: benchmarks and tests of their confinement.
"""

import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask, StageOutput
from shared.runtime.execute.worker_process import WorkerProcess
from shared.slot import records
from shared.slot.confinement.confine import Mode, level
from shared.slot.spec import StageSpec

NAMES = ("audio", "face", "infer", "encode")


class Workers:
    """The four worker processes in one mode of confinement, loaded; call ``close`` from the same thread."""

    def __init__(self, scratch: Path, mode: Mode) -> None:
        """Start them. ``load_s``: seconds until each was ready, by stage. Raises AssertionError when the machine can't
        confine them fully and ``mode`` asks for it."""
        self._scratch = scratch
        self._workers: dict[str, WorkerProcess] = {}
        self._cpu_s = 0.0
        self.load_s: dict[str, float] = {}
        for name in NAMES:
            spec: StageSpec = replace(import_module(f"stages.{name}").STAGE, deadline_s=600.0)
            missing: list[str] = []
            worker = WorkerProcess(spec, "puppet", scratch=scratch, confinement=mode, on_start=missing.extend)
            start = time.monotonic()
            worker.start()
            self.load_s[name] = time.monotonic() - start
            self._workers[name] = worker
            assert level(missing) == ("none" if mode == "off" else "full"), missing

    def close(self) -> None:
        """End them."""
        for worker in self._workers.values():
            worker.stop()

    def render(self, portrait: Path, speech: Path, size: int, target: Path) -> tuple[float, float]:
        """Render one video of ``size`` pixels into ``target``; seconds from the first task to the last result, and CPU
        seconds of the handlers."""
        request = RenderRequest.model_validate(
            {
                "portrait": {"key": "default/p"},
                "speech": {"key": "default/s"},
                "params": {"min_resolution": size, "seed": 7},
            }
        )
        task = RenderTask(job_id="job", request_id="r", request=request, submitted_ms=0)
        start, self._cpu_s = time.monotonic(), 0.0
        task, audio = self._stage("audio", task, {"speech": speech})
        task, face = self._stage("face", task, {"portrait": portrait})
        task, frames = self._stage("infer", task, {**audio, **face})
        chunks = [path for _, path in sorted(frames.items())]
        _, done = self._stage("encode", task, {"sound": audio["sound"], "portrait": face["image"]}, chunks)
        seconds = time.monotonic() - start
        shutil.move(done["video"], target)
        return seconds, self._cpu_s

    def _stage(
        self, name: str, task: RenderTask, inputs: Mapping[str, Path], chunks: list[Path] | None = None
    ) -> tuple[RenderTask, dict[str, Path]]:
        """Run one stage; returns the task with its output, and copies of its files outside of the worker's folder."""
        worker = self._workers[name]
        assert worker.folder is not None
        folder, kept = worker.folder.work / "task", self._scratch / f"{worker.folder.path.name}-files"
        for path in (folder, kept):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
        given = {role: Path(shutil.copy(path, worker.folder.inputs / role)) for role, path in inputs.items()}
        files: dict[str, Path] = {}

        def on_record(record: records.FromWorker) -> None:
            if isinstance(record, records.FileReady):
                number = f"{len(files):05d}"
                files[number] = Path(shutil.move(record.path, kept / number))
                worker.send(records.ChunkUploaded())
            elif isinstance(record, records.ChunkRequest):
                assert chunks is not None and worker.folder is not None
                chunk = worker.folder.inputs / f"chunk-{record.index}"
                shutil.copy(chunks[record.index], chunk)
                worker.send(records.ChunkReady(role=record.role, index=record.index, path=str(chunk)))

        work = records.Work(
            job=task,
            inputs={role: str(path) for role, path in given.items()},
            chunk_counts={"frames": len(chunks)} if chunks is not None else {},
            scratch=str(folder),
        )
        result = worker.run(work, on_record, lambda: False, 600)
        if not isinstance(result, records.Finished):
            raise RuntimeError(f"{name}: {result}")
        self._cpu_s += result.cpu_seconds
        for role, written in result.files.items():
            files[role] = Path(shutil.move(written, kept / role))
        return task.with_output(name, StageOutput(attempt="1", metadata=result.metadata)), files
