"""Where the files of ``up --secure`` are: their names below ``access`` of the state folder."""

import shutil
from pathlib import Path

from shared.access.names import OPERATOR

FOLDER = "access"
TEMPO = "tempo"
"""The only identity beside those of `shared.access`: Grafana Tempo, which has a bucket of its own."""


def folder(state: Path) -> Path:
    """Where the files are."""
    return state / FOLDER


def properties_file(state: Path, service: str = OPERATOR) -> Path:
    """The Kafka properties of a service; the command line is the operator."""
    return folder(state) / f"{service}.properties"


def secrets_file(state: Path, service: str) -> Path:
    """The secrets of a service, in the form of the stack's own `secrets.json`."""
    return folder(state) / f"{service}.json"


def store_file(state: Path) -> Path:
    """The identities of the object store."""
    return folder(state) / "s3.json"


def remove(state: Path) -> None:
    """Delete all of it: a properties file that stayed would lead clients to a broker that knows no passwords."""
    shutil.rmtree(folder(state), ignore_errors=True)
