"""Whether this machine can compile what torch.compile generates for a GPU; free of torch.

Triton builds its launchers as extensions of Python, in C, when a kernel runs for the first time. Without a compiler the
first render would fail after minutes of loading.
"""

import os
import shutil
import sysconfig
from pathlib import Path

NAMES = ("gcc", "clang")
"""What Triton looks for, in this order, where CC names none."""


def missing() -> str | None:
    """What LIPSTAGE_SONIC_COMPILED needs and this machine lacks, as the end of a sentence; None: nothing."""
    named = os.environ.get("CC")
    if not any(shutil.which(name) for name in ([named] if named else NAMES)):
        return f"a C compiler, and CC={named} is none" if named else "a C compiler: gcc, clang or one that CC names"
    scheme = sysconfig.get_default_scheme()
    # Debian's own scheme has no headers.
    scheme = "posix_prefix" if scheme == "posix_local" else scheme
    if not (Path(sysconfig.get_path("include", scheme)) / "Python.h").is_file():
        return "the headers of Python (Python.h; Debian: python3-dev)"
    return None
