"""An output is written whole or not at all, and never over an input, a link, a device or somebody's file."""

import errno
import os
import socket
import stat
import tempfile
import threading
from pathlib import Path

import pytest

from shared.cli.errors import CliError
from shared.cli.output_file import OutputFile, OutputRefused


def write(output: OutputFile, content: bytes = b"video") -> None:
    output.check()
    with output.writing() as temporary:
        temporary.write_bytes(content)


def refusal(output: OutputFile) -> str:
    """Why the output is refused, when it is checked and when it is written."""
    with pytest.raises(OutputRefused) as checked:
        output.check()
    with pytest.raises(OutputRefused) as written, output.writing() as temporary:
        temporary.write_bytes(b"video")
    assert written.value.message == checked.value.message
    assert written.value.hint
    return written.value.message


def test_new_file_has_the_mode_that_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(OutputFile(str(tmp_path / "x.mp4")))
    finally:
        os.umask(before)
    assert (tmp_path / "x.mp4").read_bytes() == b"video"
    assert stat.S_IMODE((tmp_path / "x.mp4").stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["x.mp4"]


def test_existing_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    file = tmp_path / "x.mp4"
    file.write_bytes(b"old")
    assert "exists already" in refusal(OutputFile(str(file)))
    assert file.read_bytes() == b"old"
    write(OutputFile(str(file), force=True))
    assert file.read_bytes() == b"video"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_replaced_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "x.mp4"
    file.write_bytes(b"old")
    file.chmod(mode)
    write(OutputFile(str(file), force=True))
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"video", mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may give files away")
def test_replaced_file_keeps_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "x.mp4"
    file.write_bytes(b"old")
    os.chown(file, 1234, 5678)
    write(OutputFile(str(file), force=True))
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 5678)


def test_group_that_cannot_be_kept_gets_no_access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def chown(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    file = tmp_path / "x.mp4"
    file.write_bytes(b"old")
    file.chmod(0o664)
    monkeypatch.setattr(os, "chown", chown)
    write(OutputFile(str(file), force=True))
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"video", 0o604)


@pytest.mark.parametrize("force", [False, True])
def test_misspelt_device_is_refused(tmp_path: Path, force: bool) -> None:
    (tmp_path / "devices").symlink_to("/dev")
    for folder in ("/dev", "/dev/../dev", f"{tmp_path}/devices"):
        assert "is no device" in refusal(OutputFile(f"{folder}/lipstage-nul", force=force))
    assert not Path("/dev/lipstage-nul").exists()


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a file system in memory at /dev/shm")
def test_memory_file_system_takes_files() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        write(OutputFile(f"{folder}/x.mp4"))
        assert Path(folder, "x.mp4").read_bytes() == b"video"


def test_same_file_is_one_regular_file_by_any_name(tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(tmp_path)
    (tmp_path / "old.png").write_bytes(b"old")
    (tmp_path / "hard.png").hardlink_to(tmp_path / "old.png")

    def same(first: str, second: str) -> bool:
        return OutputFile(f"{tmp_path}/{first}").is_same_file(OutputFile(f"{tmp_path}/{second}"))

    assert same("new.png", "linked/./new.png") and same("old.png", "hard.png")
    assert not same("new.png", "old.png") and not same("old.png", "new.png")
    assert not OutputFile("/dev/null").is_same_file(OutputFile("/dev/null"))


@pytest.mark.parametrize("alias", ["same", "hard link", "symbolic link", "other spelling", "through a linked folder"])
def test_output_that_is_an_input_is_refused_even_by_force(tmp_path: Path, alias: str) -> None:
    portrait = tmp_path / "me.png"
    portrait.write_bytes(b"picture")
    other = tmp_path / "other.mp4"
    match alias:
        case "hard link":
            other.hardlink_to(portrait)
        case "symbolic link":
            other.symlink_to(portrait)
        case "through a linked folder":
            (tmp_path / "folder").symlink_to(tmp_path)
            other = tmp_path / "folder" / "me.png"
        case _:
            other = portrait
    name = f"{tmp_path}/../{tmp_path.name}//./me.png" if alias == "other spelling" else str(other)
    output = OutputFile(name, inputs={"speech": tmp_path / "none.wav", "portrait": portrait}, force=True)
    assert refusal(output) == f"the output {name} is the portrait {portrait}, which would be lost"
    assert portrait.read_bytes() == b"picture"


@pytest.mark.parametrize("target", ["there.mp4", "missing.mp4"])
def test_link_is_refused_and_its_target_named(tmp_path: Path, target: str) -> None:
    (tmp_path / "there.mp4").write_bytes(b"old")
    (tmp_path / "link.mp4").symlink_to(target)
    assert f"is a link to {target}" in refusal(OutputFile(str(tmp_path / "link.mp4"), force=True))
    assert (tmp_path / "link.mp4").is_symlink()
    assert (tmp_path / "there.mp4").read_bytes() == b"old"
    assert not (tmp_path / "missing.mp4").exists()


def test_what_is_no_file_is_refused_by_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "socket"))
        for name, words in (
            ("", "is a directory"),
            ("new/", "is the name of a directory"),
            ("file/", "is the name of a directory"),
            ("socket", "is a socket"),
            ("missing/x.mp4", "which does not exist"),
            ("file/x.mp4", "is not a directory"),
            ("loop", "can't be used: Too many levels of symbolic links"),
            ("x" * 300, "can't be used: File name too long"),
            ("a\0b", "can't be used"),
        ):
            assert words in refusal(OutputFile(f"{tmp_path}/{name}", force=True)), name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "loop", "socket"]


def test_missing_folder_is_refused_with_the_command_that_creates_it(tmp_path: Path) -> None:
    with pytest.raises(OutputRefused) as refused:
        OutputFile(f"{tmp_path}/my videos/x.mp4").check()
    assert refused.value.hint == f"create it with `mkdir -p '{tmp_path}/my videos'`"


def test_folder_in_which_nothing_can_be_written_is_refused_beforehand() -> None:
    with pytest.raises(OutputRefused, match="nothing can be written in /proc"):
        OutputFile("/proc/x.mp4").check()


@pytest.mark.parametrize("force", [False, True])
def test_device_is_written_through_and_stays(force: bool, tmp_path: Path) -> None:
    (tmp_path / "null").symlink_to("/dev/null")
    for name in ("/dev/null", str(tmp_path / "null")):
        write(OutputFile(name, force=force))
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert (tmp_path / "null").is_symlink()


def test_device_without_a_temporary_folder_is_refused_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_folder() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in []")

    monkeypatch.setattr(tempfile, "gettempdir", no_folder)
    with pytest.raises(OutputRefused, match="/dev/null needs a temporary folder: No usable temporary directory"):
        OutputFile("/dev/null").check()


def test_full_device_is_reported() -> None:
    with pytest.raises(CliError, match="/dev/full can't be written: No space left on device"):
        write(OutputFile("/dev/full"))


@pytest.mark.parametrize("linked", [False, True])
def test_pipe_is_written_through_and_stays(tmp_path: Path, linked: bool) -> None:
    fifo, link = tmp_path / "fifo", tmp_path / "link"
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    reader.start()
    write(OutputFile(str(link if linked else fifo)), b"v" * 200_000)
    reader.join(60)
    assert read == [b"v" * 200_000]
    assert fifo.is_fifo() and link.is_symlink()


@pytest.mark.parametrize("hard_links", [True, False])
def test_file_that_appeared_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool
) -> None:
    """It appears after the second check, so only the step that gives the name can notice it."""
    target = tmp_path / "x.mp4"
    output = OutputFile(str(target))

    def link(source: object, name: object, **_: object) -> None:
        target.write_bytes(b"theirs")
        raise OSError(errno.EEXIST if hard_links else errno.EPERM, "")

    output.check()
    with pytest.raises(OutputRefused, match="exists already"), output.writing() as temporary:
        temporary.write_bytes(b"video")
        monkeypatch.setattr(os, "link", link)
    assert target.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [target]


def test_file_system_without_hard_links_gets_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    write(OutputFile(str(tmp_path / "x.mp4")))
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x.mp4", b"video")]


def test_pipe_that_takes_the_place_of_a_file_is_not_replaced(tmp_path: Path) -> None:
    output = OutputFile(str(tmp_path / "x.mp4"), force=True)
    with pytest.raises(OutputRefused, match="was exchanged meanwhile"), output.writing() as temporary:
        temporary.write_bytes(b"video")
        os.mkfifo(tmp_path / "x.mp4")
    assert (tmp_path / "x.mp4").is_fifo()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_nothing_stays_of_an_output_that_was_given_up(tmp_path: Path, error: type[BaseException]) -> None:
    output = OutputFile(str(tmp_path / "x.mp4"))
    with pytest.raises(error), output.writing() as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_name_that_does_not_fit_the_content_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("x.mp4", "X.MP4", "x.png", "x"):
        write(OutputFile(str(tmp_path / name), suffixes=(".mp4",)))
    notes = capsys.readouterr().err.splitlines()
    assert [line.split("/")[-1] for line in notes] == ["x.png is mp4, whatever its name ends in"]
