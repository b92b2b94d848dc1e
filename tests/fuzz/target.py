"""What is fuzzed: a reader of bytes, valid inputs to begin with, and how they are changed."""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.messages.codes import Rejected
from tests.fuzz.mutation import mutate_bytes

Mutator = Callable[[random.Random, bytes, Sequence[bytes]], bytes]
"""Changes an input; the last argument are inputs of the same target, to take parts of."""
_DETAIL = re.compile(r"[0-9.]+|\"[^\"]*\"|\(.*")
CPU_S = 5.0
"""The longest that any input may take, seconds of CPU."""
MAX_INPUT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """A reader, and what to feed it with."""

    name: str
    """``<group>.<format>``."""
    seeds: Callable[[], Sequence[bytes]]
    """Valid inputs."""
    run: Callable[[Path], str]
    """Reads the input at a path; its folder is empty otherwise. Returns how it ended, in few different words. Raises
    what must not happen: every expected error is an ending."""
    mutate: Mutator = mutate_bytes
    memory_mb: int = 1536
    """Limit of the address space, as that of the worker process that reads it."""
    in_python: bool = False
    """Read by our own code in Python, whose branches guide the fuzzer; else by a native library."""

    @property
    def group(self) -> str:
        return self.name.partition(".")[0]


def ending_of(rejected: Rejected) -> str:
    """The code and the sentence of a rejection, without its numbers and quoted words."""
    assert rejected.code and rejected.message and rejected.field, "a rejection names its code, field and reason"
    return f"{rejected.code}: {_DETAIL.sub('#', rejected.message)[:80]}"
