"""The commands of the tutorial and of the page on Kafka clients, run as they stand, in a folder of a new user."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import boto3
import pytest
from botocore.config import Config

from tests.conftest import ROOT
from tests.docs.shell import JARS, Shell, blocks


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """With a running stack, which the first command of the tutorial starts."""
    shell = Shell(tmp_path_factory.mktemp("newcomer"))
    try:
        shell("lipstage up")
        yield shell
    finally:
        shell("lipstage down --purge")


def exports(shell: Shell) -> dict[str, str]:
    return dict(re.findall(r"^export (\w+)=(.*)$", shell("lipstage config --env"), re.MULTILINE))


def duration_s(video: Path) -> float:
    with av.open(str(video)) as file:
        return float(file.streams.video[0].duration * file.streams.video[0].time_base)


def test_every_command_of_the_tutorial_ends_as_it_says(shell: Shell) -> None:
    # One shell for all: later blocks use the variables of earlier ones.
    script = ""
    for exit_code, block in blocks("tutorial.md"):
        if "lipstage down" in block:
            continue  # The other tests of this file need the stack; the fixture stops it.
        script += block if exit_code == 0 else f"code=0; {block.strip()} || code=$?; test $code -eq {exit_code}\n"
    shell(script)
    videos = [shell.folder / name for name in ("first.mp4", "lively.mp4", "later.mp4")]
    videos += (shell.folder / "videos").glob("*.mp4")
    assert [round(duration_s(video), 1) for video in videos] == [10.1] * 6
    assert not (shell.folder / "x.mp4").exists()


@pytest.mark.skipif(not all(map(shutil.which, ("kcat", "curl", "jq"))), reason="needs kcat, curl and jq")
def test_the_shell_commands_render_a_video_without_any_library(shell: Shell) -> None:
    [(_, script)] = blocks("kafka-client.md", "Shell: kcat, curl and jq")
    assert '"type": "done"' in shell('eval "$(lipstage config --env)"\n' + script)
    assert round(duration_s(shell.folder / "my-video.mp4"), 1) == 10.1


def java_compiles() -> bool:
    """A Java runtime alone can't run a source file."""
    listed = shutil.which("java") and subprocess.run(["java", "--list-modules"], capture_output=True, text=True).stdout
    return "jdk.compiler@" in (listed or "")


@pytest.mark.slow
@pytest.mark.skipif(not java_compiles(), reason="needs a JDK, 17 or newer, as `java` in PATH")
def test_the_java_program_renders_a_video_and_reports_a_rejection(shell: Shell) -> None:
    environment = exports(shell)
    s3 = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )
    for name in ("portrait.png", "speech.wav"):
        s3.upload_file(str(shell.folder / name), "lipstage-inputs", f"default/me/{name}")
    program = f"java -cp '{JARS}/*' {ROOT}/examples/ProduceRequest.java"
    setup = 'eval "$(lipstage config --env)"\n'
    printed = shell(f"{setup}{program} default/me/portrait.png default/me/speech.wav")
    assert re.search(r"^video: artifacts jobs/default/[0-9a-f-]{36}/encode/\w+/video\.mp4$", printed, re.MULTILINE)
    missing = shell(f"{setup}unset KAFKA_BOOTSTRAP_SERVERS; {program} portrait speech 2>&1", exit_code=2)
    assert missing.startswith("KAFKA_BOOTSTRAP_SERVERS is not set") and missing.count("\n") <= 1
    refused = shell(f"{setup}{program} default/me/portrait.png default/me/none.wav 2>&1", exit_code=1)
    assert "rejected audio\nINPUT_NOT_FOUND: " in refused


def test_the_python_program_names_the_missing_variable() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "KAFKA_BOOTSTRAP_SERVERS"}
    command = [sys.executable, "examples/produce_request.py"]
    ran = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert ran.stderr.startswith("KAFKA_BOOTSTRAP_SERVERS is not set")


def test_the_shell_commands_use_the_topic_prefix() -> None:
    [(_, script)] = blocks("kafka-client.md", "Shell: kcat, curl and jq")
    assert re.findall(r"-t (\S+)", script) == [
        f'"${{LIPSTAGE_TOPIC_PREFIX:-}}{topic}"' for topic in ("render.requests", "render.events")
    ]
