"""Which files a worker process may reach: what its handler is made of, to read, and its own folder."""

import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from shared.slot.confinement.landlock import Access

INPUTS = "inputs"
"""Of a worker process's folder: what the service puts there. The worker reads it and deletes chunks that are done."""
WORK = "work"
"""Of a worker process's folder: what the worker writes, its temporary files included."""
PACKAGES = ("shared", "stages")
LIBRARIES = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/nix/store")
SYSTEM = (
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    # How many processors there are, and which: libraries choose their threads and their code by that.
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    # ONNX Runtime looks for accelerators at its start.
    "/sys/bus/pci/devices",
    "/sys/class/drm",
    "/sys/fs/cgroup/cpu",
    "/sys/fs/cgroup/cpu.max",
    "/sys/fs/cgroup/cpuset",
    "/sys/kernel/mm/transparent_hugepage",
    # Its own process; Landlock denies the memory and the environment of others.
    "/proc/self",
    "/dev/urandom",
    "/dev/random",
    "/dev/zero",
)
PACKAGE_FOLDERS = ("site-packages", "dist-packages")


def rules(folder: Path, handler: str, reads: Iterable[Path]) -> dict[Path, Access]:
    """Rights by path, for a worker process whose folder is ``folder``.

    ``handler`` is the handler's module; ``reads`` are further files and folders that it reads, such as weights. A
    checkout's folder itself is in no rule: the state of the local stack may lie in it.
    """
    system = [*map(Path, (*LIBRARIES, *SYSTEM)), *Path("/sys/devices").glob("pci*")]
    found = dict.fromkeys([*_python(), *_code(handler), *system, *_linked(reads)])
    allowed = dict.fromkeys(found, Access.READ)
    allowed[Path("/dev/null")] = Access.READ_FILE | Access.WRITE_FILE
    allowed[folder / INPUTS] = Access.CONSUME
    allowed[folder / WORK] = Access.WRITE
    return allowed


def _python() -> Iterator[Path]:
    """The standard library, installed packages, and the libraries beside the interpreter."""
    for prefix in {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}:
        yield from (Path(prefix) / "lib", Path(prefix) / "lib64")
    yield from (Path(entry) for entry in sys.path if Path(entry).name in PACKAGE_FOLDERS)
    yield from (Path(entry) for entry in os.environ.get("LD_LIBRARY_PATH", "").split(":") if entry.startswith("/"))


def _code(handler: str) -> Iterator[Path]:
    """The folders of our packages and of the handler's."""
    for name in dict.fromkeys((*PACKAGES, handler.partition(".")[0])):
        spec = importlib.util.find_spec(name)
        if spec is not None:
            yield from map(Path, spec.submodule_search_locations or filter(None, [spec.origin]))


def _linked(paths: Iterable[Path]) -> Iterator[Path]:
    """The paths, and where links directly in a folder lead: downloaded weights are often links into a cache."""
    for path in paths:
        yield path
        if path.is_dir():
            yield from (file.resolve() for file in path.rglob("*") if file.is_symlink())
