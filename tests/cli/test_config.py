"""`lipstage config`: environment names, values and sources, as the services of the local stack have them."""

import os
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Lipstage
from tests.cli.test_stack_commands import exports
from tests.conftest import ROOT
from tests.pipeline.conftest import MAX_SPEECH_S, Pipeline

__all__ = ["exports"]


@pytest.mark.usefixtures("nowhere")
def test_every_documented_variable_has_a_value_and_a_source(
    lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("LIPSTAGE_") and name != "LIPSTAGE_STATE_DIR"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LIPSTAGE_SLOTS", "3")
    monkeypatch.setenv("LIPSTAGE_CACHE_KEY", "sixteen bytes or more")
    monkeypatch.setenv("LIPSTAGE_TENANT_POLICIES", '{"acme": {"label": "zh"}}')
    ran = lipstage("config", "--json")
    assert ran.code == 0, ran.err
    found = ran.json["settings"]
    documented = set(re.findall(r"^\| `([A-Z0-9_]+)`", (ROOT / "docs" / "configuration.md").read_text(), re.MULTILINE))
    assert documented <= found.keys()
    assert found["LIPSTAGE_SLOTS"] == {"value": "3", "source": "environment"}
    assert found["LIPSTAGE_TENANT_POLICIES"] == {"value": '{"acme": {"label": "zh"}}', "source": "environment"}
    assert found["LIPSTAGE_MAX_SPEECH_S"] == {"value": "600.0", "source": "default"}
    assert found["LIPSTAGE_CACHE_KEY"] == {"value": "(hidden)", "source": "environment"}
    assert found["KAFKA_BOOTSTRAP_SERVERS"] == {"value": None, "source": "stack"}, "up assigns it, it has no default"
    assert {one["source"] for one in found.values()} == {"default", "environment", "stack"}
    plain = lipstage("config").out
    assert re.search(r"^LIPSTAGE_SLOTS +environment +3$", plain, re.MULTILINE)
    assert not re.search(r"^ *(slots|bootstrap_servers)\b", plain, re.MULTILINE), "no internal names"


@pytest.mark.usefixtures("nowhere")
def test_the_broker_of_a_properties_file_comes_from_the_file(
    lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("bootstrap.servers=theirs:9093\n")
    monkeypatch.setenv("KAFKA_PROPERTIES_FILE", str(file))
    found = lipstage("config", "--json").json["settings"]
    assert found["KAFKA_BOOTSTRAP_SERVERS"] == {"value": "theirs:9093", "source": "file"}
    (tmp_path / "servers").write_text("secret:9093\n")
    file.write_text(f"bootstrap.servers=${{directory:{tmp_path}:servers}}\nsasl.password=secret\n")
    ran = lipstage("config", "--json")
    assert ran.json["settings"]["KAFKA_BOOTSTRAP_SERVERS"] == {"value": "(hidden)", "source": "file"}
    assert "secret:9093" not in ran.out + lipstage("config").out


def test_values_of_the_running_stack_come_from_the_stack(
    pipeline: Pipeline, exports: dict[str, str], lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "LIPSTAGE_MAX_SPEECH_S", "LIPSTAGE_BUCKET"):
        monkeypatch.delenv(name, raising=False)
    found = lipstage("config", "--json").json["settings"]
    assert found["KAFKA_BOOTSTRAP_SERVERS"] == {"value": pipeline.stack.bootstrap_servers, "source": "stack"}
    assert found["LIPSTAGE_MAX_SPEECH_S"] == {"value": str(MAX_SPEECH_S), "source": "stack"}
    assert found["AWS_SECRET_ACCESS_KEY"] == {"value": "(hidden)", "source": "stack"}
    assert found["LIPSTAGE_CACHE_KEY"] == {"value": "(hidden)", "source": "stack"}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1", "set KAFKA_BOOTSTRAP_SERVERS as well"),
        ("LIPSTAGE_TOPIC_PREFIX", "mine.", "LIPSTAGE_TOPIC_PREFIX=mine.: the running stack uses none"),
        ("LIPSTAGE_BUCKET", "mine", "LIPSTAGE_BUCKET=mine: the running stack uses lipstage"),
        ("AWS_ACCESS_KEY_ID", "of-another-store", None),
        ("AWS_PROFILE", "of-another-store", None),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1", None),
    ],
)
def test_each_variable_works_by_itself(
    pipeline: Pipeline,
    exports: dict[str, str],
    lipstage: Lipstage,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    words: str | None,
) -> None:
    """With a local stack running: the stack completes it, or one sentence says what is missing."""
    for other in ("OTEL_EXPORTER_OTLP_ENDPOINT", "LIPSTAGE_BUCKET", "AWS_PROFILE"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    ran = lipstage("jobs")
    assert (ran.code, "Traceback" in ran.err) == (0 if words is None else 2, False), ran.err
    assert words is None or words in ran.err


def test_a_broker_without_an_object_store_is_one_sentence(
    pipeline: Pipeline, exports: dict[str, str], lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another broker gets nothing from the local stack; Amazon's store needs credentials of the user."""
    monkeypatch.setenv("LIPSTAGE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", pipeline.stack.bootstrap_servers)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    ran = lipstage("job", "x")  # `jobs` needs the broker alone.
    assert (ran.code, "no object store is named: set AWS_ENDPOINT_URL_S3" in ran.err) == (3, True), ran.err
