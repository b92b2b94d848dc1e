"""A service with a wrong clock: by libfaketime, where it is installed, for the whole process with its client library;
else by a shift of what Python's clock shows."""

import importlib.util
import os
from pathlib import Path

SYSTEM = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
IN_PACKAGE = "vendor/libfaketime/src/libfaketime.so.1"
NAMED_BY = "CHAOS_FAKETIME_LIBRARY"


def library() -> Path | None:
    """libfaketime of the variable, of the PyPI package or of the system."""
    spec = importlib.util.find_spec("libfaketime")
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    named = [Path(os.environ[NAMED_BY])] if NAMED_BY in os.environ else []
    found = [*named, *(Path(folder) / IN_PACKAGE for folder in folders), SYSTEM]
    return next((path for path in found if path.is_file()), None)


def shifted(seconds: int, *, whole_process: bool = False) -> dict[str, str]:
    """Variables of a service whose clock is wrong. ``whole_process`` uses libfaketime where there is one: not for a
    service that signs requests to an object store, which refuses those of another hour."""
    found = library() if whole_process else None
    if found is None:
        return {"CHAOS_CLOCK_S": str(seconds)}
    return {"LD_PRELOAD": str(found), "FAKETIME": f"{seconds:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
