"""The user's files before anything is sent: there, whole files, not empty, not larger than a service would take."""

import os
import stat
from pathlib import Path

from shared.cli.errors import BadUse

MB = 1024 * 1024


def checked(path: Path, role: str, max_mb: int) -> Path:
    """The path of a file that can be uploaded as ``role`` (portrait, speech).

    Raises BadUse with a sentence that says what is wrong and what to do; touches nothing but the local disk.
    """
    found = found_at(path, role)
    if found is None:
        raise BadUse(f"the {role} {path} does not exist", _near(path))
    if stat.S_ISDIR(found.st_mode):
        raise BadUse(f"the {role} {path} is a directory", f"name the {role} file itself")
    if not stat.S_ISREG(found.st_mode):
        raise BadUse(f"the {role} {path} is not a regular file", "pipes and devices can't be uploaded; save it first")
    if not os.access(path, os.R_OK):
        raise BadUse(f"the {role} {path} can't be read", "check the file's permissions")
    size = found.st_size
    if size == 0:
        raise BadUse(f"the {role} {path} is empty")
    if size > max_mb * MB:
        raise BadUse(f"the {role} {path} has {size / MB:.0f} MiB; at most {max_mb} MiB are taken", "use a smaller file")
    return path


def writable_target(path: Path) -> Path:
    """The path of a file that can be written later. Raises BadUse now instead of after a minute of rendering."""
    found = found_at(path, "output")
    if found is not None and stat.S_ISDIR(found.st_mode):
        raise BadUse(f"the output {path} is a directory", f"name a file in it, as {path / 'video.mp4'}")
    parent = path.parent
    if parent.exists() and not parent.is_dir():
        raise BadUse(f"{parent} is not a directory")
    existing = next(p for p in (parent, *parent.absolute().parents) if p.exists())
    if not os.access(existing, os.W_OK):
        raise BadUse(f"nothing can be written in {existing}", "choose another output with -o")
    return path


def found_at(path: Path, role: str) -> os.stat_result | None:
    """What lies at a path; None when nothing does. Raises BadUse for a path that can't be looked at, or is none."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as e:
        raise BadUse(f"the {role} {path} can't be used: {e.strerror}") from None
    except ValueError as e:  # A zero byte, which a manifest can name.
        raise BadUse(f"the {role} {str(path)!r} can't be used: {e}") from None


def _near(path: Path) -> str | None:
    """A hint when a file of nearly that name lies beside."""
    import difflib  # only ever needed on this error

    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist either"
    near = difflib.get_close_matches(path.name, (p.name for p in path.parent.iterdir()), n=1)
    return f"did you mean {path.parent / near[0]}?" if near else None
