"""A worker may name a regular file of its folder, and nothing else."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.runtime.execute.scratch import WorkFolder
from shared.runtime.failures import WorkerDied
from shared.storage.artifacts import FileChanged
from shared.storage.streams import HashingReader


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[WorkFolder]:
    work_folder = WorkFolder(tmp_path / "work")
    yield work_folder
    work_folder.close()


def test_regular_file_of_the_folder_is_read_and_removed(folder: WorkFolder) -> None:
    path = folder.path / "video.mp4"
    path.write_bytes(b"frames")
    with folder.opened(str(path)) as opened:
        assert opened.read_bytes() == b"frames"
        path.rename(folder.path / "other")
        assert opened.read_bytes() == b"frames", "the descriptor stays open when the file is replaced"
    folder.remove(str(folder.path / "other"))
    assert list(folder.path.iterdir()) == []


def link(path: Path) -> None:
    path.symlink_to("/proc/self/environ")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [link, os.mkfifo, Path.mkdir, lambda _: None])
def test_anything_but_a_regular_file_is_refused(folder: WorkFolder, make: Callable[[Path], None]) -> None:
    path = folder.path / "frames"
    make(path)
    with pytest.raises(WorkerDied), folder.opened(str(path)):
        pass


def test_file_that_changes_while_it_is_read_is_a_worker_failure(folder: WorkFolder) -> None:
    """As a machine fault it would end the service after every redelivery."""
    path = folder.path / "video.mp4"
    path.write_bytes(b"frames")
    with (
        pytest.raises(WorkerDied, match="changed"),
        folder.opened(str(path)) as opened,
        HashingReader(opened) as reader,
    ):
        reader.read(3)
        reader.seek(5)
        reader.read()


def test_unreadable_disk_is_a_machine_fault(folder: WorkFolder) -> None:
    path = folder.path / "video.mp4"
    path.write_bytes(b"frames")
    with pytest.raises(OSError, match="I/O"), folder.opened(str(path)):
        raise OSError(errno.EIO, "I/O error")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "inner/file", "..", ""])
def test_file_outside_the_folder_is_refused(folder: WorkFolder, name: str) -> None:
    (folder.path.parent / "secret").write_bytes(b"secret")
    (folder.path / "inner").mkdir()
    (folder.path / "inner" / "file").write_bytes(b"x")
    with pytest.raises(WorkerDied), folder.opened(os.path.join(folder.path, name)):  # noqa: PTH118 - as a worker sends it
        pass
    with pytest.raises(WorkerDied):
        folder.remove(os.path.join(folder.path, name))  # noqa: PTH118


@pytest.mark.parametrize("instead", [lambda p: None, lambda p: p.mkdir()], ids=["nothing", "a folder"])
def test_file_replaced_by_the_worker_is_a_worker_failure(folder: WorkFolder, instead: Callable[[Path], None]) -> None:
    path = folder.path / "file"
    path.write_bytes(b"own")
    with folder.opened(str(path)):
        path.unlink()
        instead(path)
    with pytest.raises(WorkerDied, match="deleted or replaced"):
        folder.remove(str(path))


def test_folder_replaced_by_a_link_is_a_worker_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever could write beside the folder might replace it between its creation and its opening."""
    (tmp_path / "secrets").mkdir()
    monkeypatch.setattr(Path, "mkdir", lambda path: path.symlink_to(tmp_path / "secrets"))
    with pytest.raises(WorkerDied, match="replaced the folder"):
        WorkFolder(tmp_path / "work")


def test_file_that_changes_while_it_is_uploaded_is_a_worker_failure(folder: WorkFolder) -> None:
    path = folder.path / "file"
    path.write_bytes(b"own")
    with pytest.raises(WorkerDied, match="changed a file"), folder.opened(str(path)):
        raise FileChanged
