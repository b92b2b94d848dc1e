"""Commands refuse an output before a job is submitted, and keep the video when the output fails afterwards."""

import os
import pty
import resource
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from shared.cli import demo, render
from shared.cli.output_file import OutputFile
from shared.client import Client
from shared.client.connection import Connection
from shared.local.errors import StackCode, StackError
from shared.messages.events import Done
from tests.cli.conftest import Lipstage
from tests.client.events import event
from tests.client.services import VIDEO, Services, answering, job_of
from tests.conftest import ROOT


@pytest.mark.usefixtures("nowhere")
def test_second_render_into_the_same_file_is_refused_before_anything_is_sent(
    lipstage: Lipstage, portrait: Path, speech: Path, tmp_path: Path
) -> None:
    video = tmp_path / "x.mp4"
    video.write_bytes(b"of the first render")
    ran = lipstage("render", portrait, speech, "-o", video)
    assert ran.code == 2
    assert ran.err == (f"error: the output {video} exists already\n  choose a fresh name, or replace it with --force\n")
    assert lipstage("render", portrait, speech, "-o", video, "--force").code == 3, "the next step is the stack"
    assert video.read_bytes() == b"of the first render"


@pytest.mark.usefixtures("nowhere")
def test_inputs_are_never_the_output(lipstage: Lipstage, portrait: Path, speech: Path, tmp_path: Path) -> None:
    before = portrait.read_bytes(), speech.read_bytes()
    for role, file in (("portrait", portrait), ("speech", speech)):
        ran = lipstage("render", portrait, speech, "-o", file, "--force")
        assert (ran.code, f"is the {role} {file}, which would be lost" in ran.err) == (2, True)
    assert (portrait.read_bytes(), speech.read_bytes()) == before
    ran = lipstage("demo", "-o", ROOT / "samples" / "portrait.png", "--force")
    assert (ran.code, "is the portrait" in ran.err) == (2, True)


@pytest.mark.usefixtures("nowhere")
def test_output_is_checked_by_demo_and_fetch_too(lipstage: Lipstage, tmp_path: Path) -> None:
    video = tmp_path / "x.mp4"
    video.touch()
    for command in (["demo"], ["fetch", "a-job"]):
        ran = lipstage(*command, "-o", video)
        assert (ran.code, "exists already" in ran.err) == (2, True), command


@pytest.mark.usefixtures("nowhere")
def test_demo_replaces_its_own_video_and_no_link(
    lipstage: Lipstage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default output is the demo's own; the stack that fails to start comes after the check."""

    def no_stack(*_: object) -> None:
        raise StackError(StackCode.JAVA_MISSING, "no stack in this test")

    monkeypatch.setattr(demo, "running_deployment", no_stack)
    monkeypatch.chdir(tmp_path)
    assert (ran := lipstage("demo")).code == 1, ran.err
    (tmp_path / "out" / "demo.mp4").write_bytes(b"of an earlier demo")
    assert (ran := lipstage("demo")).code == 1, ran.err
    (tmp_path / "out" / "demo.mp4").unlink()
    (tmp_path / "out" / "demo.mp4").symlink_to(tmp_path / "elsewhere.mp4")
    ran = lipstage("demo")
    assert (ran.code, "is a link to" in ran.err) == (2, True)


@pytest.mark.usefixtures("nowhere")
def test_interrupt_while_the_video_is_fetched_names_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    file = {"key": "k", "sha256": "0" * 64, "size": 1}
    figures = {"duration_s": 1.0, "width": 512, "height": 512, "fps": 25, "engine": "puppet", "total_s": 1.0}
    drifts = {"container_drift_ms": 0.0, "audio_drift_ms": 0, "seconds": {}}
    client = Client()
    monkeypatch.setattr(client, "download", interrupted)
    done = event("done", "a-job", video=file, poster=file, **figures, **drifts)
    assert isinstance(done, Done)
    with pytest.raises(KeyboardInterrupt):
        render.save(client, done, OutputFile(str(tmp_path / "x.mp4")))
    assert capsys.readouterr().err == "interrupted; the video is kept: `lipstage fetch -o OTHER.mp4 a-job`\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
@pytest.mark.usefixtures("nowhere")
def test_json_and_a_video_do_not_share_stdout(lipstage: Lipstage, portrait: Path, speech: Path, name: str) -> None:
    ran = lipstage("render", portrait, speech, "-o", name, "--json")
    assert (ran.code, "can't go to stdout: --json prints there" in ran.err) == (2, True)


def test_video_is_not_written_to_a_terminal(portrait: Path, speech: Path, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "shared.cli.main", "render", str(portrait), str(speech)]
    try:
        for name in ("-", "/dev/stdout", os.ttyname(slave)):
            ran = subprocess.run(
                [*command, "-o", name],
                cwd=ROOT, env=os.environ | {"LIPSTAGE_STATE_DIR": str(tmp_path)}, stdout=slave, stderr=subprocess.PIPE,
                text=True, timeout=100,
            )  # fmt: skip
            assert (ran.returncode, "would be written to the terminal" in ran.stderr) == (2, True), name
    finally:
        os.close(slave)
        os.close(master)


def test_disk_without_space_is_reported_before_anything_is_sent(portrait: Path, speech: Path, tmp_path: Path) -> None:
    """A limit of the file size stands for a full disk or a quota: the same call fails."""
    command = [sys.executable, "-m", "shared.cli.main", "render", str(portrait), str(speech), "-o", f"{tmp_path}/x.mp4"]
    ran = subprocess.run(
        command,
        cwd=ROOT, env=os.environ | {"LIPSTAGE_STATE_DIR": str(tmp_path / "none")}, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)), timeout=100,
    )  # fmt: skip
    assert (ran.returncode, f"nothing can be written in {tmp_path}: File too large" in ran.stderr) == (2, True)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".lipstage")]


def answer_done(services: Services, message: Any) -> None:
    services.done(job_of(message))


def test_video_goes_to_stdout_and_the_summary_to_stderr(deployment: Connection, portrait: Path, speech: Path) -> None:
    command = [sys.executable, "-m", "shared.cli.main", "render", str(portrait), str(speech), "-o", "-"]
    with answering(deployment, answer_done):
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=100)
    assert (ran.returncode, ran.stdout) == (0, VIDEO)
    assert b"x real time" in ran.stderr


def test_fetched_file_can_be_piped_or_sent_to_a_device(deployment: Connection, tmp_path: Path) -> None:
    job = uuid.uuid4().hex
    Services(deployment).done(job)
    command = [sys.executable, "-m", "shared.cli.main", "fetch", job, "-o"]
    ran = subprocess.run([*command, "/dev/stdout"], cwd=ROOT, capture_output=True, timeout=100)
    assert (ran.returncode, ran.stdout) == (0, VIDEO)
    with (tmp_path / "x.mp4").open("wb") as file:
        ran = subprocess.run([*command, "/dev/stdout"], cwd=ROOT, stdout=file, stderr=subprocess.PIPE, timeout=100)
    assert (ran.returncode, (tmp_path / "x.mp4").read_bytes()) == (0, VIDEO)
    ran = subprocess.run([*command, "/dev/null"], cwd=ROOT, capture_output=True, timeout=100)
    assert (ran.returncode, ran.stdout) == (0, b"/dev/null\n")
    assert Path("/dev/null").is_char_device()


def test_reader_that_goes_away_is_one_line(deployment: Connection) -> None:
    job = uuid.uuid4().hex
    Services(deployment).done(job)
    end, unread = os.pipe()
    os.close(end)
    ran = subprocess.run(
        [sys.executable, "-m", "shared.cli.main", "fetch", job, "-o", "-"],
        cwd=ROOT, stdout=unread, stderr=subprocess.PIPE, text=True, timeout=100,
    )  # fmt: skip
    os.close(unread)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[0] == "error: the output - can't be written: Broken pipe"
    assert "xception" not in ran.stderr


def test_rendered_video_is_not_lost_when_the_output_has_appeared_meanwhile(
    deployment: Connection, lipstage: Lipstage, portrait: Path, speech: Path, tmp_path: Path
) -> None:
    target = tmp_path / "x.mp4"

    def answer(services: Services, message: Any) -> None:
        target.write_bytes(b"theirs")
        services.done(job_of(message), tenant="acme")

    with answering(deployment, answer):
        ran = lipstage("render", portrait, speech, "-o", target, "--job-id", "kept", "--tenant", "acme")
    assert (ran.code, ran.out) == (1, "")
    assert "exists already" in ran.err
    assert "the video is kept: `lipstage fetch -o OTHER.mp4 kept --tenant acme`" in ran.err
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir() if path.suffix == ".mp4"] == [
        ("x.mp4", b"theirs")
    ]
    assert lipstage("fetch", "-o", tmp_path / "y.mp4", "kept", "--tenant", "acme").code == 0
    assert (tmp_path / "y.mp4").read_bytes() == VIDEO


def test_closed_stdout_is_refused(portrait: Path, speech: Path, tmp_path: Path) -> None:
    command = f'"{sys.executable}" -m shared.cli.main render "{portrait}" "{speech}" -o - >&-'
    ran = subprocess.run(["sh", "-c", command], cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=100)
    assert (ran.returncode, "can't go to stdout, which is closed" in ran.stderr) == (2, True)
