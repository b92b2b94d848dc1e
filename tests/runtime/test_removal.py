"""Folders that a worker process has written in are deleted, however it has left them."""

import os
from pathlib import Path

from shared.runtime.execute.removal import remove_folder


def test_folder_without_rights_is_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    closed = folder / "closed"
    closed.mkdir(parents=True)
    (closed / "file").write_text("x")
    closed.chmod(0)
    remove_folder(folder)
    assert not folder.exists()


def test_thousands_of_nested_folders_are_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(folder)
        for _ in range(3000):  # Longer than any path may be.
            Path("a").mkdir()
            os.chdir("a")
    finally:
        os.chdir(here)
        os.close(here)
    remove_folder(folder)
    assert not folder.exists()


def test_file_behind_a_link_is_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("x")
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "link").symlink_to(kept)
    remove_folder(folder)
    assert (kept / "file").read_text() == "x"
    assert not folder.exists()
