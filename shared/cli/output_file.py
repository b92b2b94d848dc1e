"""Writes the one file that a command was asked for: whole or not at all, and never over an input, a link or a device.

A new file is written beside its name and then linked to it, which fails when somebody else has taken the name. Devices
and pipes are written through; ``-`` is stdout.
"""

import errno
import os
import shlex
import shutil
import stat
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from shared.cli import console
from shared.cli.errors import BadUse, CliError
from shared.client.publishing import publish_new, publish_over

STDOUT_NAMES = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
OTHER = "choose another output"
PROBE_BYTES = 1024 * 1024
"""Space that must be free before a command starts its work: a few seconds of video."""
_NO_PREALLOCATION = (errno.EINVAL, errno.EOPNOTSUPP)
_DEVICES, _MEMORY = Path("/dev"), Path("/dev/shm")


class OutputRefused(BadUse):
    """The file can't, or must not, be written where the user wants it. Nothing was changed there."""


@dataclass(frozen=True, slots=True)
class OutputFile:
    """An output as the user named it. Call ``check`` before the work, write inside ``writing`` after it."""

    name: str
    """A path, or ``-`` for stdout."""
    role: str = "output"
    """What messages call it."""
    inputs: Mapping[str, Path] = field(default_factory=dict)
    """Files that must stay as they are, by their role."""
    force: bool = False
    """Whether an existing regular file may be replaced."""
    stdout_holds: str | None = None
    """Why the output can't go to stdout, for example: --json prints there."""
    suffixes: tuple[str, ...] = ()
    """Suffixes of names that fit the content, the usual one first. Another suffix is noted."""

    @property
    def path(self) -> Path:
        """The path of the file; ``-`` for stdout."""
        return Path(self.name)

    @property
    def is_stdout(self) -> bool:
        """Whether the content goes to stdout, where nothing else may be printed then."""
        return self.name in STDOUT_NAMES

    def is_same_file(self, other: "OutputFile") -> bool:
        """Whether both names lead to one regular file, existing or not; a device may be written twice."""
        try:
            status = self.path.stat()
            return stat.S_ISREG(status.st_mode) and os.path.samestat(status, other.path.stat())
        except OSError:
            return os.path.realpath(self.path) == os.path.realpath(other.path)

    def check(self) -> None:
        """Refuse what could not be written later; a probe file is created where the content will go, and deleted.

        Raises OutputRefused.
        """
        if self._is_stream():
            self._check_stream()
            try:
                self._probe(Path(tempfile.gettempdir()))
            except OSError as e:
                raise self._refused(f"needs a temporary folder: {e.strerror}", "name one in TMPDIR") from None
            return
        self._probe(self.path.parent)
        if self.path.suffix and self.suffixes and self.path.suffix.lower() not in self.suffixes:
            console.note(f"note: the content of {self.name} is {self._suffix[1:]}, whatever its name ends in")

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """A temporary path that does not exist yet; what is there at the end of the block becomes the output.

        Nothing is changed when the block raises. The output is checked again, because it may have appeared since
        ``check``. Raises OutputRefused, CliError when the device or the disk fails.
        """
        is_stream = self._is_stream()
        with tempfile.TemporaryDirectory(prefix="lipstage-") if is_stream else nullcontext(self.path.parent) as folder:
            temporary = Path(folder) / f".lipstage-{uuid.uuid4().hex}{self._suffix}"
            try:
                yield temporary
                try:
                    if self._is_stream() != is_stream:
                        raise self._refused("was exchanged meanwhile")
                    if is_stream:
                        self._write_through(temporary)
                    else:
                        self._publish(temporary)
                except OSError as e:
                    raise CliError(f"the {self.role} {self.name} can't be written: {e.strerror}", OTHER) from None
            finally:
                with suppress(OSError):
                    temporary.unlink()

    def _is_stream(self) -> bool:
        """True for a device or a pipe, False for a file to create or to replace. Raises OutputRefused for the rest."""
        if self.is_stdout:
            self._refuse_input(_stdout_status())
            return True
        if self.name.endswith("/") and not self.path.is_dir():
            raise self._refused("is the name of a directory")
        status, is_link = self._status()
        if status is None:
            return False
        self._refuse_input(status)
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            raise self._refused("is a directory", f"name a file in it, as {self.path / f'video{self._suffix}'}")
        if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
            return True
        if is_link:
            raise self._is_link()
        if not stat.S_ISREG(mode):
            raise self._refused(f"is a {'socket' if stat.S_ISSOCK(mode) else 'disk'}")
        if not self.force:
            raise self._exists()
        return False

    def _status(self) -> tuple[os.stat_result | None, bool]:
        """What the name leads to, None for nothing, and whether the name is a link."""
        try:
            is_link = self.path.is_symlink()
            return self.path.stat(), is_link
        except FileNotFoundError:
            if is_link:
                raise self._is_link() from None
            if not self.path.parent.exists():
                make = f"create it with `mkdir -p {shlex.quote(str(self.path.parent))}`"
                raise self._refused(f"lies in {self.path.parent}, which does not exist", make) from None
            if _holds_devices(self.path.parent):
                raise self._refused("is no device", f"check the device's name; {OTHER}") from None
            return None, False
        except NotADirectoryError:
            raise self._refused(f"can't be created: {self.path.parent} is not a directory") from None
        except OSError as e:
            raise self._refused(f"can't be used: {e.strerror}") from None
        except ValueError as e:  # A zero byte.
            raise self._refused(f"can't be used: {e}") from None

    def _refuse_input(self, status: os.stat_result | None) -> None:
        """By the file itself: another spelling, a hard link or a symbolic link is the same file."""
        for role, path in self.inputs.items():
            with suppress(OSError):
                if status is not None and os.path.samestat(status, path.stat()):
                    raise self._refused(f"is the {role} {path}, which would be lost")

    def _check_stream(self) -> None:
        if self.is_stdout:
            if self.stdout_holds is not None:
                raise self._refused(f"can't go to stdout: {self.stdout_holds}", "name a file")
            if sys.stdout is None:
                raise self._refused("can't go to stdout, which is closed", "name a file")
            is_terminal = sys.stdout.isatty()
        elif self.path.is_fifo():
            is_terminal = False
            if not os.access(self.path, os.W_OK):
                raise self._refused("can't be written: permission denied")
        else:
            try:
                descriptor = os.open(self.path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as e:
                raise self._refused(f"can't be written: {e.strerror}") from None
            is_terminal = os.isatty(descriptor)
            os.close(descriptor)
        if is_terminal:
            raise self._refused("would be written to the terminal", "redirect stdout, or name a file")

    def _probe(self, folder: Path) -> None:
        """Create a file and reserve some space: a mode says nothing of quotas and full disks."""
        probe = folder / f".lipstage-{uuid.uuid4().hex}"
        try:
            descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            try:
                os.posix_fallocate(descriptor, 0, PROBE_BYTES)
            finally:
                os.close(descriptor)
        except OSError as e:
            if e.errno not in _NO_PREALLOCATION:
                raise self._refused(f"can't be written: nothing can be written in {folder}: {e.strerror}") from None
        finally:
            with suppress(OSError):
                probe.unlink()

    def _publish(self, temporary: Path) -> None:
        """Give the file its name in one step. Without ``force`` that fails when the name is taken by now."""
        if self.force:
            publish_over(temporary, self.path)
            return
        try:
            publish_new(temporary, self.path)
        except FileExistsError:
            raise self._exists() from None

    def _write_through(self, temporary: Path) -> None:
        with temporary.open("rb") as source:
            if self.is_stdout:
                shutil.copyfileobj(source, sys.stdout.buffer)
                sys.stdout.buffer.flush()
                return
            with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC), "wb") as device:
                shutil.copyfileobj(source, device)

    @property
    def _suffix(self) -> str:
        """Of the temporary file: programs choose a picture's format by it."""
        suffix = self.path.suffix.lower()
        return suffix if suffix in self.suffixes else next(iter(self.suffixes), suffix)

    def _exists(self) -> OutputRefused:
        return self._refused("exists already", "choose a fresh name, or replace it with --force")

    def _is_link(self) -> OutputRefused:
        target = self.path.readlink()
        return self._refused(f"is a link to {target}", "name the file itself, or choose another output")

    def _refused(self, why: str, hint: str = OTHER) -> OutputRefused:
        return OutputRefused(f"the {self.role} {self.name} {why}", hint)


def _holds_devices(folder: Path) -> bool:
    """A new regular file there is a misspelt device, and takes memory until the machine starts again."""
    folder = folder.resolve()
    return folder.is_relative_to(_DEVICES) and not folder.is_relative_to(_MEMORY)


def _stdout_status() -> os.stat_result | None:
    """None where Python's stdout has no descriptor."""
    try:
        return os.fstat(sys.stdout.fileno())
    except (AttributeError, OSError, ValueError):
        return None
