"""KAFKA_PROPERTIES_FILE: librdkafka's properties, one ``key=value`` a line.

A value may take text from files, as Kafka's DirectoryConfigProvider does: in
``sasl.password=${directory:/etc/kafka-user:password}`` it is the content of the file ``password`` of that folder. So a
Secret that is mounted as a volume holds the password, and the properties themselves are no secret.
"""

import re
from pathlib import Path

REFERENCE = re.compile(r"\$\{directory:(?P<folder>[^:{}]+):(?P<file>[^:{}/]+)\}")
START = "${directory:"
REFUSED = {
    "transactional.id": "must not be set: the markers of transactions count as records that are never read, so that the"
    " lag of a stage never becomes 0 and an autoscaler never stops its last replica",
}
"""Properties that a deployment must not have, with the reason."""


def read_properties(path: Path) -> dict[str, str]:
    """The properties, with the content of the files that they name; a line that starts with ``#`` is a comment.

    Raises ValueError for a line without ``=``, a property of REFUSED, and a reference to a file that can't be read,
    OSError when the properties file itself can't be read. No message has a value.
    """
    properties: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        key, sep, value = text.partition("=")
        place = f"{path.name}, line {number}"
        if not sep:
            raise ValueError(f"{place}: key=value expected")
        name = key.strip()
        if name in REFUSED:
            raise ValueError(f"{place}: {name} {REFUSED[name]}")
        properties[name] = _resolved(value.strip(), f"{place}: the value of {name}")
    return properties


def takes_files(path: Path, name: str) -> bool:
    """Whether the property ``name`` takes its value from files: it is then a secret. Raises OSError."""
    lines = (line.strip().partition("=") for line in path.read_text().splitlines())
    return any(key.strip() == name and REFERENCE.search(value) for key, _, value in lines)


def _resolved(value: str, place: str) -> str:
    if START in REFERENCE.sub("", value):
        raise ValueError(f"{place} must name a file as ${{directory:FOLDER:FILE}}")
    return REFERENCE.sub(lambda match: _content(match["folder"], match["file"], place), value)


def _content(folder: str, file: str, place: str) -> str:
    path = Path(folder) / file
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{place} can't be read from {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{place} can't be read from {path}: not UTF-8 text") from None
    # Editors and `echo` end a file with one line end, which belongs to no password.
    return text.removesuffix("\n").removesuffix("\r")
