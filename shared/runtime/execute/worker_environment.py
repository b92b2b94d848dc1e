"""The environment of a process that opens user media: an allow-list, so that no credential of the service's reaches it.

A machine's other variables, such as the tokens of a CI system, are not in it either.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

SYSTEM = (
    "PATH",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TZDIR",
    "LD_LIBRARY_PATH",
    # Python's own, which say where modules are and how text is read.
    "PYTHONDEVMODE",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONFAULTHANDLER",
    "PYTHONHASHSEED",
    "PYTHONHOME",
    "PYTHONIOENCODING",
    "PYTHONMALLOC",
    "PYTHONPATH",
    "PYTHONUNBUFFERED",
    "PYTHONUTF8",
    "PYTHONWARNINGS",
    # How the C library's allocator returns memory.
    "MALLOC_ARENA_MAX",
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_MMAP_THRESHOLD_",
)
"""Variables of every such process; a name with ``*`` stands for all that begin so."""
PLACES = ("HOME", "TMPDIR", "XDG_CACHE_HOME")
"""Of a process without a folder of its own."""


def worker_environment(
    environment: Mapping[str, str], engine: str, variables: Iterable[str] = (), folder: Path | None = None
) -> dict[str, str]:
    """The variables of ``environment`` that a worker process gets.

    ``variables`` are those that its handler reads beside ``SYSTEM``. ``folder`` is for its temporary files, and its
    home. Added: one BLAS thread, because spinning BLAS threads compete with those of ONNX Runtime; no telemetry of ONNX
    Runtime, which writes a device id to the home folder.
    """
    patterns = (*SYSTEM, *variables, *(() if folder else PLACES))
    inherited = {k: v for k, v in environment.items() if any(fnmatchcase(k, pattern) for pattern in patterns)}
    added = {"LIPSTAGE_ENGINE": engine, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    own = {"HOME": str(folder), "TMPDIR": str(folder)} if folder else {}
    return {**inherited, **own, **added, "ORT_DISABLE_TELEMETRY": "true"}
