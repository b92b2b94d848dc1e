"""Confines this process in two steps, before and after its handler is loaded, and reports what could not be done."""

import types
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Protocol

from shared.slot import limits
from shared.slot.confinement import landlock, policy, system_calls

Mode = Literal["auto", "required", "off"]
"""LIPSTAGE_CONFINEMENT."""
Level = Literal["full", "partial", "none"]
LEVELS: tuple[Level, ...] = ("none", "partial", "full")
FILES = "files"
PROGRAMS = "programs"
CALLS = "system calls"
PARTS = (FILES, PROGRAMS, CALLS)
"""No files but its own; no other program or process; no network, no access to other processes, no kernel features."""
SWITCHED_OFF = "LIPSTAGE_CONFINEMENT is off"
_ACCELERATOR = {
    FILES: "an accelerator's driver and the compiler of its kernels read and write files of their own",
    PROGRAMS: "the compiler of an accelerator's kernels is a program",
}


def level(missing: Iterable[str]) -> Level:
    """The level of a process that lacks ``missing``: lines that start with a name of PARTS."""
    lacking = {part for part in PARTS if any(text.startswith(part) for text in missing)}
    return "full" if not lacking else "none" if len(lacking) == len(PARTS) else "partial"


class Confinement(Protocol):
    """What is done to a worker process."""

    def before_load(self, folder: Path, handler: str, reads: Iterable[Path]) -> None:
        """While the process has one thread: what every later thread must inherit."""

    def after_load(self) -> None:
        """Before the first task: what a library may still need while it is loaded."""

    @property
    def missing(self) -> tuple[str, ...]:
        """One line for each part of ``PARTS`` that this process has not, with the reason."""


class Confined:
    """A process that keeps its libraries, its folder and calls for files, memory and threads."""

    def __init__(self) -> None:
        self._missing: dict[str, str] = {}
        self._seccomp: types.ModuleType | None = None

    def before_load(self, folder: Path, handler: str, reads: Iterable[Path]) -> None:
        """Hide this process's memory from others and restrict its files."""
        limits.hide_from_workers()
        limits.limit_processes()
        self._seccomp = self._library()
        try:
            landlock.restrict(policy.rules(folder, handler, reads))
        except OSError as e:
            self._missing[FILES] = f"{e.strerror}; Landlock needs Linux 5.13 or newer that has it enabled"
        except RuntimeError as e:
            self._missing[FILES] = str(e)

    def after_load(self) -> None:
        """Restrict the system calls of all threads."""
        if self._seccomp is not None:
            try:
                self._restrict(self._seccomp)
            except OSError as e:
                self._lack_calls(f"seccomp: {e.strerror or e}")

    @property
    def missing(self) -> tuple[str, ...]:
        """One line for each part that this process has not."""
        return tuple(f"{part}: {reason}" for part, reason in self._missing.items())

    def _library(self) -> types.ModuleType | None:
        try:
            return system_calls.library()
        except (ImportError, RuntimeError, OSError) as e:
            self._lack_calls(f"{e}; seccomp needs the package pyseccomp and the system's libseccomp.so.2")
        return None

    def _lack_calls(self, reason: str) -> None:
        self._missing.update(dict.fromkeys((PROGRAMS, CALLS), reason))

    def _restrict(self, seccomp: types.ModuleType) -> None:
        system_calls.restrict(seccomp)


class WithAccelerator(Confined):
    """A process with a GPU: it loses the network and other processes, and opens no user media."""

    def before_load(self, folder: Path, handler: str, reads: Iterable[Path]) -> None:  # noqa: ARG002 - as above
        """Hide this process's memory from others."""
        limits.hide_from_workers()
        self._missing.update(_ACCELERATOR)
        self._seccomp = self._library()

    def _restrict(self, seccomp: types.ModuleType) -> None:
        system_calls.restrict_with_accelerator(seccomp)


class Unconfined:
    """A process that LIPSTAGE_CONFINEMENT leaves as it is."""

    missing = tuple(f"{part}: {SWITCHED_OFF}" for part in PARTS)

    def before_load(self, folder: Path, handler: str, reads: Iterable[Path]) -> None:
        """Do nothing."""

    def after_load(self) -> None:
        """Do nothing."""


def confinement(mode: Mode, accelerator: bool) -> Confinement:
    """The confinement of a worker process; ``accelerator``: whether its handler uses one of this machine."""
    if mode == "off":
        return Unconfined()
    return WithAccelerator() if accelerator else Confined()
