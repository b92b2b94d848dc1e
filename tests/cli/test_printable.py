"""Only printable characters, our own line ends and our own colours reach a terminal, whatever text is shown."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.cli import console, jobs, outcome, trace_lines
from shared.cli.config import _quoted
from shared.cli.errors import CliError
from shared.cli.printable import as_json, clean
from shared.cli.progress import Lines
from shared.cli.progress_bars import Bars
from shared.client import JobKey, JobState
from shared.local.settings import LocalSettings
from shared.messages.events import EVENT
from shared.telemetry.spans import StoredSpan
from tests.cli.conftest import KnownJob, Lipstage, alone
from tests.conftest import ROOT

SGR = re.compile(r"\x1b\[[0-9;]*m")
EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\rstatus   done\nstatus   done\u2028\u202egpj\u200b\ud800\x7f[bold red]x[/]\U000e0041"  # noqa: E501
"""Title, clear, an 8-bit sequence, a forged row, a reversed name, lone surrogates, markup of the bars."""
ANY = st.text(st.characters(), max_size=30) | st.sampled_from([EVIL, "\x1b[31mred", "a\x1b[0m", "\u2066", "\r\n", "\t"])
EACH = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def harmless(text: str) -> bool:
    """Whether every line consists of printable characters alone."""
    return all(line.isprintable() for line in text.split("\n"))


def event(kind: str, **fields: Any) -> Any:
    base = {"type": kind, "job_id": "j", "tenant": "default", "request_id": "r", "time_ms": 1000}
    return EVENT.validate_python(base | fields)


@EACH
@given(ANY, ANY)
def test_a_line_has_no_line_ends_and_no_styles_but_ours(plain: str, marked: str) -> None:
    shown = console.line([plain, console.styled(marked, red=True, bold=True)])
    styles = SGR.findall(shown)
    assert styles in (
        ["\x1b[31m", "\x1b[1m", "\x1b[0m"],
        ["\x1b[1m", "\x1b[31m", "\x1b[0m"],
        ["\x1b[31m\x1b[1m", "\x1b[0m"],
    )
    assert SGR.sub("", shown).isprintable()
    assert SGR.sub("", shown) == clean(plain) + clean(marked)


@EACH
@given(st.text(st.characters(categories=["L", "N", "P", "S", "M"]), max_size=30))
def test_printable_text_is_unchanged(text: str) -> None:
    assert clean(text) == text


def test_unprintable_characters_are_escaped() -> None:
    assert clean("a\x1b[2J\n\t\r\x9b\u202e\u2028\U000e0041\udc80") == (
        r"a\x1b[2J\n\t\r\x9b\u202e\u2028\U000e0041\udc80"
    )
    assert clean("a\xa0b\u3000c") == "a b c"


@EACH
@given(st.recursive(ANY | st.integers() | st.none(), lambda v: st.lists(v) | st.dictionaries(ANY, v), max_leaves=8))
def test_json_is_one_printable_line_of_the_same_values(value: Any) -> None:
    text = as_json(value)
    assert text.isprintable()
    assert json.loads(text) == value
    text.encode()


@EACH
@given(text=ANY, other=ANY)
def test_every_console_function_prints_printable_lines(
    capsys: pytest.CaptureFixture[str], text: str, other: str
) -> None:
    capsys.readouterr()
    console.say(text)
    console.note(other)
    console.error(text, other, [other, text])
    console.table(("A", "B"), [(text, other), (other, 1)])
    console.emit_json({text: other})
    out, err = capsys.readouterr()
    assert harmless(out + err)
    assert (len(out.splitlines()), len(err.splitlines())) == (5, 4 + bool(other)), "no text adds a line"


@EACH
@given(text=ANY)
def test_a_job_with_any_texts_is_printed_harmlessly(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    labels, batch = {text: text}, {"id": "b", "index": 0, "total": 1}
    rejected = event("rejected", stage=text, code="NO_FACE", message=text, field=text, allowed=text)
    events = [
        event("accepted", engine=text, labels=labels, batch=batch, trace_id=text),
        event("started", stage=text),
        event("progress", stage=text, percent=50, done=1, total=2),
        event("warning", stage=text, code="NO_SPEECH", message=text),
        event("finished", stage=text, seconds=1),
        rejected,
    ]
    job, shown = JobState("j", "default"), Lines()
    monkeypatch.setattr(jobs, "connect", lambda **_: KnownJob(job))
    capsys.readouterr()
    for one in events:
        job.apply(one)
        shown.show(one, job)
    outcome.report(rejected)
    for as_text in (False, True):
        jobs.job(JobKey("default", "j"), 1, as_text)
        jobs.jobs(1, 1, as_text)
    out, err = capsys.readouterr()
    assert harmless(out + err)
    assert not [line for line in out.splitlines() if line.startswith("status") and "rejected" not in line]


@EACH
@given(text=ANY)
def test_a_trace_with_any_names_is_printed_harmlessly(text: str) -> None:
    spans = [
        StoredSpan(
            "t", "a", "", text, text, "internal", 0, 1, {"artifact.role": text, "error.type": text}, [], [], None
        ),
        StoredSpan("t", "b", "a", text, text, "internal", 0, 1, {}, [], [], text),
    ]
    assert all(SGR.sub("", console.line(parts)).isprintable() for parts in trace_lines.lines(spans))


def test_bars_escape_texts_and_ignore_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "400")
    job = JobState("j", "default")
    with Bars() as bars:
        for one in (event("started", stage=EVIL), event("warning", stage="face", code="NO_SPEECH", message=EVIL)):
            job.apply(one)
            bars.show(one, job)
    err = capsys.readouterr().err
    ours = re.compile(r"\x1b\[[0-9;?]*[mKAhl]|\r")
    assert harmless(ours.sub("", err))
    assert "owned\\x07\\x1b[2J" in err
    assert "[bold red]x[/]" in err, "no markup either"


def test_a_log_is_printed_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lipstage: Lipstage) -> None:
    monkeypatch.setenv("LIPSTAGE_STATE_DIR", str(tmp_path))
    logs = LocalSettings().logs
    logs.mkdir(parents=True)
    raw = b"at\tplace\r\n" + EVIL.replace("\n", "\r").encode(errors="surrogatepass") + b"\x9b\xff\nlast"
    (logs / "audio-0.log").write_bytes(raw)
    ran = lipstage("logs", "audio-0")
    assert ran.code == 0
    assert harmless(ran.out)
    assert [line[:8] for line in ran.out.splitlines()] == ["at      ", "\\x1b]0;o", "last"]


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("place", ["manifest", "portrait", "output", "scale", "set"])
def test_names_of_files_and_options_are_printed_harmlessly(
    lipstage: Lipstage, portrait: Path, tmp_path: Path, place: str
) -> None:
    evil = EVIL.replace("\ud800", "")
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("\n".join(json.dumps({"portrait": evil, "speech": "x", evil: 1}) for _ in range(3)))
    commands = {
        "manifest": ["submit", "--batch", manifest],
        "portrait": ["render", evil, portrait, "-o", "x"],
        "output": ["render", portrait, portrait, "-o", tmp_path / evil / "x" / "\x1b"],
        "scale": ["up", "--scale", evil],
        "set": ["render", portrait, portrait, "-o", tmp_path / "x", "--set", f"labels.{evil}=x"],
    }
    ran = lipstage(*commands[place])
    assert ran.code in (2, 3)
    assert harmless(ran.err)
    assert not [line for line in ran.err.splitlines() if line.strip().startswith("status")]


def test_typers_own_errors_are_printable_on_a_terminal() -> None:
    """On a terminal rich draws them, with its own escape sequences."""
    for arguments in (["no" + "\x1b]0;x\x07"], ["watch", "--x\x1b[2J"], ["logs", "-n", "1", "a", "b\x1b]0;x\x07"]):
        done, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "shared.cli.main", *arguments], stdout=theirs, stderr=theirs, stdin=theirs
        )
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(done, 65536):
                shown += data
        except OSError:  # What the other side's end looks like.
            pass
        assert process.wait(60) == 2
        os.close(done)
        assert b"x1b" in shown
        assert SGR.sub("", shown.decode()).replace("\r\n", "").isprintable(), shown


def test_tracebacks_warnings_and_logs_are_printed_by_the_console() -> None:
    code = (
        "import logging, sys, threading, warnings; from shared.cli import main, jobs\n"
        f"evil = {EVIL!r}\n"
        "def show(*_):\n"
        "    logging.getLogger('library').error('%s', evil)\n"
        "    warnings.warn(evil)\n"
        "    thread = threading.Thread(target=lambda: 1 / int(evil)); thread.start(); thread.join()\n"
        "    raise RuntimeError(evil)\n"
        "jobs.job = show\n"
        "sys.argv = ['lipstage', 'job', 'j']; main.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert harmless(done.stdout + done.stderr), done.stderr
    assert done.stderr.count("owned") >= 4
    assert "| RuntimeError" in done.stderr
    assert not [line for line in done.stderr.splitlines() if line.startswith("status")]


def test_only_the_console_prints() -> None:
    output = re.compile(
        r"\becho\(|\bstd(out|err)\.write\(|(?<![.\w])print\(|\binput\((?!\"Do you accept these licences)"
    )
    files = [path for path in (ROOT / "shared" / "cli").rglob("*.py") if path.name != "console.py"]
    assert [path.name for path in files if output.search(path.read_text())] == []


def test_help_keeps_its_line_ends() -> None:
    assert "Render the bundled sample." in alone().out + alone().err


def test_the_text_of_an_error_includes_its_details() -> None:
    assert str(CliError("a", "b", ["c"])) == "a\nc"


@pytest.mark.usefixtures("nowhere")
def test_a_variable_with_an_invalid_name_is_not_exported(lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"KAFKA_BOOTSTRAP_SERVERS": "a:1", "AWS_ENDPOINT_URL_S3": "http://a:2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:3")
    monkeypatch.setenv("LIPSTAGE_X;touch owned;#", "1")
    ran = lipstage("config", "--env")
    assert (ran.code, "owned" in ran.out, "export KAFKA_BOOTSTRAP_SERVERS=a:1" in ran.out) == (0, False, True)


@pytest.mark.parametrize("value", ["a\x1b'%\\\nb", "é\u202e", "\udc80x", "plain it's", "\xa0", "-----BEGIN\nx"])
def test_an_export_gives_a_shell_the_same_bytes(value: str) -> None:
    script = f'export V={_quoted(value)}; printf %s "$V"'
    assert script.isprintable()
    assert subprocess.run(["sh", "-c", script], capture_output=True).stdout == os.fsencode(value)
