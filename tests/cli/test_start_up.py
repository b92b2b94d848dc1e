"""What commands import. Start-up is fast only while each loads what it needs and no more."""

import os
import subprocess
import sys

import pytest

from shared.client.connection import Connection
from tests.conftest import ROOT, Infrastructure

SLOW = {
    *("boto3", "botocore", "confluent_kafka", "opentelemetry", "opentelemetry.sdk", "structlog", "rich", "lark"),
    *("pydantic", "prometheus_client", "tenacity", "numpy", "rich.live", "shared.messages.events"),
    *("shared.local.stack", "shared.local.access", "shared.access.rights", "shared.client.client"),
}
"""Each takes 10 to 150 ms to import."""
READS_JOBS = {"botocore", "confluent_kafka", "pydantic", "tenacity"} | {
    *("shared.client.client", "shared.messages.events"),
}


def imported(*arguments: str) -> set[str]:
    """Those of the slow modules that a command has loaded when it ends."""
    code = f"""
import sys
from shared.cli.main import app
try:
    app({list(arguments)!r}, prog_name="lipstage")
except SystemExit:
    pass
sys.stderr.write("\\n" + " ".join(sorted({SLOW!r} & sys.modules.keys())))
"""
    # With a collector in the environment, its variables would be checked by the exporter itself.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return set(done.stderr.rpartition("\n")[2].split())


def test_declaring_the_commands_imports_nothing_slow() -> None:
    assert imported("--version") == set()


@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"], ["config"], ["config", "--json"]])
def test_questions_about_the_stack_need_settings_alone(stack: Infrastructure, arguments: list[str]) -> None:
    """The lag comes from another process; no S3 client, no spans, no log library."""
    assert stack.stack.running
    assert imported(*arguments) == {"pydantic"}


@pytest.mark.parametrize("arguments", [["job", "unknown"], ["jobs"]])
def test_questions_about_jobs_load_no_spans_and_make_no_client_of_boto3(
    deployment: Connection, arguments: list[str]
) -> None:
    assert deployment.settings.topic_prefix
    assert imported(*arguments) <= READS_JOBS
