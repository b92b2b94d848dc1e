"""The broker's jars: a committed list of coordinates and SHA-256 sums, downloaded once, checked at every start.

`up` and `python -m shared.local.jars` download missing jars; with all jars in place neither needs a network.
"""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from shared.local.errors import StackCode, StackError
from shared.local.settings import LocalSettings

LOCK_FILE = Path(__file__).with_name("kafka-jars.txt")
DOWNLOADS = 6


@dataclass(frozen=True, slots=True)
class Jar:
    """One locked jar: Maven coordinates and SHA-256, hex."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def filename(self) -> str:
        """File name in the jar folder."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def coordinates(self) -> str:
        """``group:artifact:version``."""
        return f"{self.group}:{self.artifact}:{self.version}"


def locked(lock_file: Path = LOCK_FILE) -> tuple[Jar, ...]:
    """The committed list. Raises ValueError for a line that is not ``group:artifact:version sha256``."""
    jars: list[Jar] = []
    for line in lock_file.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        coordinates, sha256 = line.split()
        group, artifact, version = coordinates.split(":")
        jars.append(Jar(group, artifact, version, sha256))
    return tuple(jars)


def kafka_version() -> str:
    """The locked broker's release."""
    return next(jar.version for jar in locked() if jar.artifact == "kafka-clients")


def faults(folder: Path, jars: Iterable[Jar]) -> dict[Jar, str]:
    """Jars that differ from the list, each with ``missing`` or ``altered``."""
    result: dict[Jar, str] = {}
    for jar in jars:
        path = folder / jar.filename
        if not path.is_file():
            result[jar] = "missing"
        elif sha256_of(path) != jar.sha256:
            result[jar] = "altered"
    return result


def check(folder: Path, jars: Iterable[Jar] | None = None) -> list[Path]:
    """The class path, in the list's order. Raises StackError (JARS_MISSING, JARS_ALTERED) for a jar that differs."""
    wanted = locked() if jars is None else tuple(jars)
    wrong = faults(folder, wanted)
    if wrong:
        jar, fault = next(iter(wrong.items()))
        code = StackCode.JARS_MISSING if "missing" in wrong.values() else StackCode.JARS_ALTERED
        raise StackError(
            code,
            f"{len(wrong)} of {len(wanted)} jars in {folder} differ from the locked list ({jar.filename}: {fault});"
            " `lipstage up` downloads them",
        )
    return [folder / jar.filename for jar in wanted]


def ready(folder: Path, note: Callable[[str], None]) -> list[Path]:
    """The class path; jars that differ from the list are downloaded first, after a line to ``note``.

    Raises StackError: JARS_MISSING, JARS_ALTERED.
    """
    try:
        return check(folder)
    except StackError:
        note(f"downloading the broker's files into {folder} (once; about 44 MB)")
        fetch(folder, note=note)
        return check(folder)


def fetch(folder: Path, jars: Iterable[Jar] | None = None, note: Callable[[str], None] = lambda _: None) -> int:
    """Download every missing or altered jar into the folder; returns their number.

    ``note`` gets a line at every quarter.

    Raises StackError: JARS_MISSING when a download fails, JARS_ALTERED when its SHA-256 differs.
    """
    wanted = locked() if jars is None else tuple(jars)
    wrong = list(faults(folder, wanted))
    if wrong:
        _check_writable(folder)
        with ThreadPoolExecutor(DOWNLOADS) as pool:
            for number, _ in enumerate(pool.map(lambda jar: _fetch_one(folder, jar), wrong), 1):
                if 4 * number // len(wrong) > 4 * (number - 1) // len(wrong):
                    note(f"{number} of {len(wrong)} files")
    return len(wrong)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        message = f"the broker's files can't be written to {folder} ({error.strerror}): set LIPSTAGE_JARS_DIR"
        raise StackError(StackCode.JARS_MISSING, message) from error


def _fetch_one(folder: Path, jar: Jar) -> None:
    try:
        source = _resolve(jar)
        if sha256_of(source) != jar.sha256:
            # A broken download stays in the local Maven cache: delete it and download once more.
            source.unlink()
            source = _resolve(jar)
    except (OSError, RuntimeError, ValueError) as error:
        message = f"could not download {jar.coordinates} ({error}); the first start needs a network, or a copy of the"
        message += f" folder {folder} of another machine"
        raise StackError(StackCode.JARS_MISSING, message) from error
    if sha256_of(source) != jar.sha256:
        message = f"the SHA-256 of {jar.coordinates} differs from {LOCK_FILE.name}; not used"
        raise StackError(StackCode.JARS_ALTERED, message)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".jar-")
    os.close(handle)
    shutil.copyfile(source, temporary)
    Path(temporary).chmod(0o644)
    Path(temporary).replace(folder / jar.filename)


def _resolve(jar: Jar) -> Path:
    # Imported here: with all jars in place the broker starts without it.
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    configured = GlobalSettings.load()
    remotes = dict(configured.repositories) or None
    context = MavenContext(repo_cache=configured.repo_cache, remote_repos=remotes, timeout=60)
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    return Path(artifact.resolve())


def main() -> int:
    """Download into the configured folder; for `make setup`."""
    folder = LocalSettings().jars
    try:
        count = fetch(folder)
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{len(locked())} jars in {folder}, {count} downloaded\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
