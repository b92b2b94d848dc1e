"""Admin requests in a separate process: a client that aborts, hangs or answers nonsense raises an error."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException

from shared.runtime.admin_process import AdminProcess, ask
from shared.runtime.settings import RuntimeSettings
from tests.conftest import Infrastructure

Break = Callable[[str], None]


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Break:
    """Run this code at the start of every admin process; a test can't trigger the client's own assertion."""

    def make(code: str) -> None:
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}"\n')
        python.chmod(0o755)
        monkeypatch.setattr("shared.runtime.admin_process.sys.executable", str(python))

    return make


def refused(settings: RuntimeSettings, limit_s: float = 30) -> KafkaError:
    with pytest.raises(KafkaException) as caught:
        ask(settings, "answers", limit_s, timeout_s=0.5)
    return caught.value.args[0]


SETTINGS = RuntimeSettings(bootstrap_servers="127.0.0.1:1")


def test_aborted_client_raises_an_error_with_its_signal(broken: Break) -> None:
    broken("import os; os.abort()")
    assert "died of SIGABRT" in refused(SETTINGS).str()


def test_request_is_repeated_when_the_client_aborts_once(broken: Break, tmp_path: Path) -> None:
    once = tmp_path / "once"
    broken(
        f"import json, os, pathlib; p = pathlib.Path('{once}'); first = not p.exists(); p.touch();"
        " os.abort() if first else print(json.dumps(dict(value=True)))"
    )
    assert ask(SETTINGS, "answers", 30, timeout_s=0.5) is True


def test_hanging_client_is_killed(broken: Break) -> None:
    broken("import time; time.sleep(600)")
    asked = AdminProcess(SETTINGS, "answers", 0.5, timeout_s=0.1)
    with pytest.raises(KafkaException) as caught:
        asked.result()
    assert caught.value.args[0].code() == KafkaError._TIMED_OUT
    assert asked._process.poll() is not None


def test_unreadable_answer_raises_an_error_with_its_last_line(broken: Break) -> None:
    broken("import sys; print('{'); sys.exit('no such module')")
    assert "no such module" in refused(SETTINGS).str()


def test_unreachable_broker_raises_its_own_error() -> None:
    assert refused(SETTINGS).code() in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN)


def test_unreadable_properties_raise_in_the_caller(tmp_path: Path) -> None:
    path = tmp_path / "kafka.properties"
    path.write_text("nonsense\n")
    with pytest.raises(ValueError, match="line 1"):
        ask(SETTINGS.model_copy(update={"kafka_properties_file": path}), "answers", 30, timeout_s=0.1)


def test_real_broker_answers(stack: Infrastructure, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = RuntimeSettings(bootstrap_servers=stack.bootstrap_servers, topic_prefix=topic_prefix)
    # A package `shared` in the current folder is not imported.
    folder = stack.settings.state / "elsewhere"
    (folder / "shared").mkdir(parents=True, exist_ok=True)
    (folder / "shared" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(folder)
    assert ask(settings, "answers", 30, timeout_s=5) is True
    missing = {change["topic"] for change in ask(settings, "diff", 30)}
    assert topic_prefix + "render.requests" in missing
    ask(settings, "make_topics", 60, timeout_s=30)
    assert ask(settings, "diff", 30) == []
    assert ask(settings, "protocol", 60) == "consumer"
    topic = topic_prefix + "render.face"
    assert ask(settings, "lags", 30, groups={"nobody": topic}, timeout_s=5) == {"nobody": 0}
