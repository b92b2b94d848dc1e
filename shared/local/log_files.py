"""The log files of the stack's programs."""

from pathlib import Path

from shared.local.settings import LocalSettings


def names(settings: LocalSettings) -> list[str]:
    """The programs that have a log, sorted."""
    return sorted(file.stem for file in settings.logs.glob("*.log")) if settings.logs.is_dir() else []


def log_file(settings: LocalSettings, name: str) -> Path:
    """The log of a program, by its name or the only name that begins so. Raises FileNotFoundError for any other."""
    found = names(settings)
    matches = [name] if name in found else [one for one in found if one.startswith(name)]
    if len(matches) != 1:
        raise FileNotFoundError(f"there is no log of {name!r}")
    return settings.logs / f"{matches[0]}.log"
