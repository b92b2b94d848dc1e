"""The files of ``up --secure``: a credential for each service, mode 0600, below ``access`` of the state folder."""

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
