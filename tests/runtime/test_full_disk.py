"""A full scratch disk, with a real file system: tasks wait for space, no record fails, no attempt is counted."""

import errno
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from threading import Barrier, Event

import av
import numpy as np
import pytest
from structlog.testing import capture_logs

from shared.messages.events import Failed, Waiting
from shared.messages.refs import ArtifactRef
from shared.messages.task import StageOutput
from shared.runtime import waiting
from shared.runtime.execute import room as room_module
from shared.runtime.execute.room import Room
from shared.runtime.execute.scratch import DiskSpace, is_full
from shared.runtime.failures import Abandoned, DiskFull
from shared.slot.disk import disk_full
from shared.storage import manifest as manifests
from tests.conftest import Infrastructure
from tests.runtime import real_stage
from tests.runtime.real_stage import RealStage
from tests.runtime.trial_handler import MIB

DISK = 8 * MIB
FREE = 2 * MIB

Make = Callable[..., RealStage]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder], capture_output=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def filler(disk: Path) -> Path:
    """A file of another program, which leaves two of the disk's eight MiB free."""
    path = disk / "other-program"
    path.write_bytes(b"x" * (DISK - FREE))
    return path


@pytest.fixture
def stage(stack: Infrastructure, disk: Path, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setenv("PYTHONPATH", str(real_stage.ROOT))
    monkeypatch.setattr(waiting, "SHOWN_AFTER_S", 0.0)
    stages: list[RealStage] = []

    def make(**fields: object) -> RealStage:
        stages.append(RealStage(topic_prefix, disk, **fields))  # type: ignore[arg-type]
        return stages[-1]

    yield make
    for one in stages:
        one.close()


@pytest.mark.parametrize("how", ["plainly", "as numpy", "as numpy, and leave nothing", "as a rejection", "by a signal"])
def test_attempt_that_fills_the_disk_is_repeated_when_there_is_room(stage: Make, filler: Path, how: str) -> None:
    one = stage()
    task = real_stage.task("fill", how=how)
    future = one.submit(task)
    waits = one.until("waiting")
    assert isinstance(waits, Waiting)
    assert (waits.job_id, waits.stage, waits.code) == (task.job_id, "face", "NO_SPACE")
    assert "full" in (one.disk.reason or "")
    assert not future.done()
    filler.unlink()
    future.result(60)
    finished = one.until("finished")
    assert finished.attempt == 1, "no attempt was counted"
    assert one.dead_letters() == []
    assert len(one.producers.tasks) == 1
    assert one.disk.reason is None
    left = [path for path in one.scratch.rglob("*") if path.parent.name in ("inputs", "work")]
    assert left == [], "the files of the attempts are deleted"


def test_task_waits_for_free_space_before_it_starts(stage: Make, filler: Path) -> None:
    one = stage(spec=real_stage.spec(lambda _: 4 * MIB))
    future = one.submit(real_stage.task("nothing"))
    waits = one.until("waiting")
    assert isinstance(waits, Waiting)
    assert "2 MiB are free, 4 MiB are needed" in waits.message
    filler.unlink()
    future.result(60)
    assert one.event_types()[:1] == ["started"], "it started when there was room"


def test_input_is_downloaded_once_it_fits_the_disk(stage: Make, filler: Path) -> None:
    spec = real_stage.StageSpec(name="face", handler="tests.runtime.trial_handler", inputs={"data": "audio/data"})
    one = stage(spec=spec)
    ref = real_stage.artifact(one.store, b"x" * 3 * MIB)
    future = one.submit(real_stage.task("nothing", {"audio": StageOutput(attempt="1", artifacts={"data": ref})}))
    one.until("waiting")
    filler.unlink()
    future.result(60)
    assert (one.dead_letters(), len(one.producers.tasks)) == ([], 1)


def test_chunk_is_downloaded_once_it_fits_the_disk(stage: Make, filler: Path) -> None:
    spec = real_stage.StageSpec(
        name="face", handler="tests.runtime.trial_handler", inputs={}, streams={"frames": "audio/frames"}
    )
    one = stage(spec=spec)
    future = one.submit(real_stage.task("read chunks", {"audio": StageOutput(attempt="1", artifacts=chunked(one))}))
    one.until("waiting")
    filler.unlink()
    future.result(60)
    assert (one.dead_letters(), len(one.producers.tasks)) == ([], 1)


def chunked(one: RealStage) -> dict[str, ArtifactRef]:
    """A sequence of one chunk of 3 MiB."""
    folder = f"jobs/default/{uuid.uuid4().hex}/audio/1"
    data = one.store.artifacts.put_bytes(b"x" * 3 * MIB, f"{folder}/frames-0.bin")
    whole = manifests.ChunkManifest(role="frames", chunks=(manifests.Chunk(ref=data, frames=1),), frames=1)
    return {"frames": manifests.write_manifest(one.store.artifacts, f"{folder}/frames.json", whole)}


def test_cancel_ends_the_wait_for_space(stage: Make, filler: Path) -> None:
    one = stage(spec=real_stage.spec(lambda _: 4 * MIB))
    task = real_stage.task("nothing")
    future = one.submit(task)
    one.until("waiting")
    one.cancelled.jobs.add(task.job_id)
    future.result(60)
    end = one.until("failed")
    assert isinstance(end, Failed)
    assert end.code == "CANCELLED"
    assert one.dead_letters() == []


@pytest.mark.parametrize("how", ["the service ends", "the partition is revoked"])
def test_waiting_record_is_abandoned_on_stop_or_revocation(stage: Make, filler: Path, how: str) -> None:
    one = stage(spec=real_stage.spec(lambda _: 4 * MIB))
    future = one.submit(real_stage.task("nothing"))
    one.until("waiting")
    if how == "the service ends":
        one.stop.set()
    else:
        one.assignment.revoking = True
    with pytest.raises(Abandoned):
        future.result(60)
    assert (one.event_types(), one.dead_letters(), one.producers.tasks) == ([], [], [])


def test_task_larger_than_the_file_system_fails_alone(stage: Make) -> None:
    one = stage(spec=real_stage.spec(lambda task: 9 * MIB if task.request.labels["do"] == "much" else 0))
    one.submit(real_stage.task("much")).result(60)
    end = one.until("failed")
    assert isinstance(end, Failed)
    assert (end.code, len(one.dead_letters())) == ("NO_SPACE", 1)
    one.submit(real_stage.task("nothing")).result(60)
    one.until("finished")


def test_disk_too_small_for_the_stage_fails_no_record(stage: Make) -> None:
    one = stage(spec=real_stage.spec(lambda _: 9 * MIB, needs_vary=False))
    future = one.submit(real_stage.task("nothing"))
    one.until("waiting")
    assert "9 MiB are needed" in (one.disk.reason or "")
    one.stop.set()
    with pytest.raises(Abandoned):
        future.result(60)
    assert one.dead_letters() == []


@pytest.mark.parametrize("what", ["file", "array"])
def test_file_over_the_worker_limit_fails_the_task(stage: Make, what: str) -> None:
    one = stage(spec=real_stage.spec(file_mb=1), max_attempts=1)
    one.submit(real_stage.task(f"write a large {what}")).result(60)
    end = one.until("failed")
    assert isinstance(end, Failed)
    assert end.code == "INTERNAL"
    assert len(one.dead_letters()) == 1


def test_disk_full_only_in_the_handler_fails_the_task_after_a_limit(
    stage: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = tmp_path / "full"
    full.touch()
    monkeypatch.setenv("TRIAL_FULL", str(full))
    one = stage()
    future = one.submit(real_stage.task("report a full disk"))
    one.until("waiting")
    full.unlink()
    future.result(60)
    assert one.until("finished").attempt == 1
    full.touch()
    monkeypatch.setattr(room_module, "UNSEEN_S", 0.0)
    one.submit(real_stage.task("report a full disk")).result(60)
    end = one.until("failed")
    assert isinstance(end, Failed)
    assert end.code == "NO_SPACE"


def test_wait_for_space_is_logged(stage: Make, filler: Path) -> None:
    one = stage(spec=real_stage.spec(lambda _: 4 * MIB))
    with capture_logs() as logged:
        future = one.submit(real_stage.task("nothing"))
        one.until("waiting")
        filler.unlink()
        future.result(60)
    (line,) = [line for line in logged if line["event"] == "waiting_for_space"]
    assert (line["stage"], line["log_level"]) == ("face", "warning")


def full_disk_error(how: str) -> BaseException:
    """An exception caused by a full disk, as different code raises it."""
    try:
        try:
            raise OSError(errno.EDQUOT if how == "quota" else errno.ENOSPC, "?")
        except OSError as e:
            match how:
                case "another from it":
                    raise ValueError("not read") from e
                case "another after it":
                    raise ValueError("not read")  # noqa: B904 - as some code does
                case "another in place of it":
                    raise ValueError("not read") from None
                case "a group":
                    raise ExceptionGroup("several", [KeyError(), e]) from None
            raise
    except (OSError, ValueError, ExceptionGroup) as e:
        return e


@pytest.mark.parametrize(
    "how", ["plainly", "quota", "another from it", "another after it", "another in place of it", "a group"]
)
def test_full_disk_is_recognised_in_any_error(how: str) -> None:
    assert disk_full(full_disk_error(how))


@pytest.mark.parametrize(
    "error", [OSError(errno.EFBIG, "?"), OSError(errno.EIO, "?"), OSError("?"), ValueError("ENOSPC"), MemoryError()]
)
def test_other_errors_are_not_taken_for_a_full_disk(error: Exception) -> None:
    error.__context__ = error  # A cyclic chain.
    assert not disk_full(error)


def test_ffmpeg_error_of_a_full_disk_is_recognised(disk: Path) -> None:
    (disk / "other-program").write_bytes(b"x" * (DISK - 65536))
    with pytest.raises(av.FFmpegError) as failed, av.open(str(disk / "sound.wav"), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=48_000, layout="mono")
        for _ in range(10):
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.int16), "s16", "mono")
            sound.rate = 48_000
            file.mux(stream.encode(sound))
    assert disk_full(failed.value)


def test_tasks_that_ran_out_of_space_together_continue_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two slots whose tasks each fit alone: both start, both fail, and without coordination would do so for ever."""
    usage = shutil._ntuple_diskusage(10 * MIB, 4 * MIB, 6 * MIB)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(room_module, "LONGEST_PAUSE_S", 0.0)
    disk = DiskSpace(tmp_path, 0)
    news: Queue[str] = Queue()
    ends = {name: Event() for name in "ab"}
    together = Barrier(2)

    def slot(name: str) -> None:
        room = Room(disk, real_stage.spec(lambda _: 4 * MIB), real_stage.task("nothing"))
        room.wait()
        together.wait(30)  # Each fits the free space alone; they run concurrently.
        room.release()
        room.failed(DiskFull("full"))
        together.wait(30)
        room.wait()
        news.put(name)
        assert ends[name].wait(30)
        room.release()

    with ThreadPoolExecutor(2) as pool:
        slots = [pool.submit(slot, name) for name in "ab"]
        first = news.get(timeout=30)
        while disk.reason is None:
            assert news.empty()
        assert "8 MiB are needed" in disk.reason
        ends[first].set()
        second = news.get(timeout=30)
        ends[second].set()
        for one in slots:
            one.result(30)
    assert {first, second} == {"a", "b"}


def test_disk_without_free_blocks_is_full(disk: Path, filler: Path) -> None:
    assert not is_full(disk)
    with filler.open("ab") as file:
        file.write(b"x" * (FREE - 4096))
    assert is_full(disk)


def test_disk_without_free_inodes_is_full(tmp_path: Path, disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,nr_inodes=1", disk], check=True)
    assert is_full(disk)
