"""Where the command line finds a stack: what the environment names, and what a running local stack fills in."""

import os
from pathlib import Path

import pytest

from shared.cli import connection
from shared.local import stack as local
from shared.local.stack_file import Stack

pytestmark = pytest.mark.usefixtures("nowhere")

KAFKA, S3, OTLP = "127.0.0.1:7001", "http://127.0.0.1:7002", "http://127.0.0.1:7003"


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ({}, (KAFKA, S3, OTLP)),
        ({"KAFKA_BOOTSTRAP_SERVERS": KAFKA}, (KAFKA, S3, OTLP)),
        ({"AWS_ENDPOINT_URL_S3": f"{S3}/"}, (KAFKA, S3, OTLP)),
        ({"KAFKA_BOOTSTRAP_SERVERS": KAFKA, "AWS_ENDPOINT_URL_S3": S3}, (KAFKA, S3, OTLP)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://mine:1"}, (KAFKA, S3, "http://mine:1")),
        # Another deployment: half of it and half of ours would be none.
        ({"KAFKA_BOOTSTRAP_SERVERS": "theirs:1"}, ("theirs:1", None, None)),
    ],
)
def test_the_running_stack_fills_in_what_the_environment_leaves_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: dict[str, str], found: tuple[str | None, ...]
) -> None:
    running = Stack(state_dir=tmp_path, sockets=tmp_path, bootstrap_servers=KAFKA, s3_endpoint_url=S3,
                    otlp_endpoint=OTLP)  # fmt: skip
    monkeypatch.setattr(local, "running", lambda _: running)
    for name in (*stack_variables(), "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, named.get(name, ""))
    connection.locate()
    names = ("KAFKA_BOOTSTRAP_SERVERS", "AWS_ENDPOINT_URL_S3", "OTEL_EXPORTER_OTLP_ENDPOINT")
    assert tuple(os.environ.get(name) or None for name in names) == found


def stack_variables() -> tuple[str, ...]:
    """What adopt() sets: restored after the test, because monkeypatch has set them before."""
    return (
        *("KAFKA_BOOTSTRAP_SERVERS", "AWS_ENDPOINT_URL_S3", "OTEL_EXPORTER_OTLP_ENDPOINT", "AWS_REGION"),
        *("AWS_DEFAULT_REGION", "LIPSTAGE_STATE_DIR", "LIPSTAGE_BUCKET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    )


def test_credentials_of_another_store_are_dropped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*stack_variables(), "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.setenv(name, "of another store")
    connection.adopt(Stack(state_dir=tmp_path, sockets=tmp_path, own_store=True))
    assert os.environ["AWS_SESSION_TOKEN"] == "of another store", "the user's own store, with the user's own keys"
    connection.adopt(Stack(state_dir=tmp_path, sockets=tmp_path))
    assert not {"AWS_SESSION_TOKEN", "AWS_PROFILE"} & set(os.environ)
    assert os.environ["AWS_ACCESS_KEY_ID"].startswith("LIP")
