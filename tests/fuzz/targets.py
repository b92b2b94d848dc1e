"""All targets, by group: each group is imported where it runs, with its media libraries."""

import importlib
from collections.abc import Sequence

from tests.fuzz.target import Target

GROUPS = {
    "audio": "tests.fuzz.audio_targets",
    "face": "tests.fuzz.face_targets",
    "frames": "tests.fuzz.frames_targets",
    "messages": "tests.fuzz.message_targets",
    "client": "tests.fuzz.message_targets",
    "http": "tests.fuzz.http_targets",
}


def targets(prefix: str = "") -> Sequence[Target]:
    """The target or the group of that name; all targets for "". Raises KeyError when there is none."""
    found: list[Target] = []
    groups = GROUPS | ({"broken": "tests.fuzz.broken_targets"} if prefix.startswith("broken") else {})
    for group, module in groups.items():
        if prefix and prefix.partition(".")[0] != group:
            continue
        every: list[Target] = importlib.import_module(module).TARGETS
        found += [t for t in every if t.group == group and (not prefix or f"{t.name}.".startswith(f"{prefix}."))]
    if not found:
        raise KeyError(f"there is no target {prefix!r}; groups: {', '.join(GROUPS)}")
    return found
