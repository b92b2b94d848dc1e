"""Fault injection: the rules, when they apply, and that it is not there without the variable."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from shared.runtime import fault_injection
from shared.runtime.disposition import JobContext
from shared.runtime.execute.worker_environment import worker_environment
from shared.runtime.fault_injection import Faults, nothing
from shared.runtime.fault_rules import parse
from shared.runtime.fault_settings import FaultSettings
from shared.runtime.settings_variables import check
from shared.runtime.waiting import TaskWaits, task_waits
from shared.storage.errors import StoreUnavailable
from tests.conftest import ROOT

CHILD = "from shared.runtime import fault_injection as f; f.reached('work', 'face', 'a1'); print('went on')"


def run(faults: str, code: str = CHILD, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LIPSTAGE_FAULTS": faults, **variables}
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True,
                          timeout=120)  # fmt: skip


def fires(faults: Faults, job: str = "a1", stage: str = "face", point: str = "put") -> bool:
    try:
        faults.reached(point, stage, job)
    except RuntimeError:
        return True
    return False


def test_without_the_variable_the_function_is_empty() -> None:
    assert "LIPSTAGE_FAULTS" not in os.environ
    assert fault_injection.reached is nothing
    code = nothing.__code__
    assert code.co_names == (), "it refers to nothing: it can do nothing"
    assert run("", CHILD).stdout == "went on\n"


def test_variable_is_read_once_and_never_given_to_the_worker() -> None:
    assert run("face.work=kill").returncode == -signal.SIGKILL
    assert run("infer.work=kill").stdout == "went on\n"
    assert run("face.work=exit").returncode == 1
    assert (
        not {"LIPSTAGE_FAULTS", "LIPSTAGE_FAULTS_SEED"}
        & worker_environment({"LIPSTAGE_FAULTS": "face.work=kill", "LIPSTAGE_FAULTS_SEED": "1"}, "puppet").keys()
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("face.work", "is no fault"),
        ("mouth.work=kill", "no stage 'mouth'"),
        ("face.sing=kill", "no point 'sing'"),
        ("face.work=sing", "no action 'sing'"),
        ("face.work=delay", "write delay=SECONDS"),
        ("face.work=raise", "write raise=EXCEPTION"),
        ("face.work=raise=Nothing", "no exception 'Nothing'"),
        ("face.work=raise=UnicodeDecodeError", "takes more than a message"),
        ("face.work=kill@1.5", "a probability is 0 to 1"),
        ("face.work=kill,at=x", "no option 'at'"),
        ("face.work=delay=soon", "'soon' is no number"),
    ],
)
def test_rule_that_cannot_be_used_is_named_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(f"*.read=kill;{text}")


def test_service_with_a_wrong_rule_ends_at_its_start_and_names_it() -> None:
    done = run("face.sing=kill", "from shared.runtime.__main__ import main; raise SystemExit(main(['face']))")
    assert done.returncode == 2
    assert "LIPSTAGE_FAULTS = face.sing=kill" in done.stdout + done.stderr
    assert "no point" in done.stdout + done.stderr


def test_settings_check_lists_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSTAGE_FAULTS", "face.sing=kill")
    (line,) = check([FaultSettings])
    assert line.startswith("LIPSTAGE_FAULTS=face.sing=kill: ")


def test_rule_applies_to_its_stage_point_and_jobs_only() -> None:
    faults = Faults(parse("face.put=raise=RuntimeError,job=a*"), 0)
    assert fires(faults)
    assert not fires(faults, job="b1")
    assert not fires(faults, stage="infer")
    assert not fires(faults, point="read")
    assert fires(Faults(parse("*.put=raise=RuntimeError"), 0), stage="encode")


def test_current_task_gives_stage_and_job() -> None:
    faults = Faults(parse("face.put=raise=StoreUnavailable,job=a*"), 0)
    waits = TaskWaits("face")
    with task_waits(waits):
        faults.reached("put")
        waits.job = JobContext("a1", "default", "r")
        with pytest.raises(StoreUnavailable, match=r"injected at face\.put"):
            faults.reached("put")


def test_count_and_file_bound_how_often_a_rule_applies(tmp_path: Path) -> None:
    counted = Faults(parse("*.put=raise=RuntimeError#2"), 0)
    assert [fires(counted) for _ in range(4)] == [True, True, False, False]
    rule = f"*.put=raise=RuntimeError,once={tmp_path / 'fired'}"
    assert [fires(Faults(parse(rule), 0)) for _ in range(3)] == [True, False, False], "one process of three"


def test_probability_depends_on_the_seed_alone() -> None:
    def drawn(seed: int) -> list[bool]:
        faults = Faults(parse("*.put=raise=RuntimeError@0.5"), seed)
        return [fires(faults, job=f"job-{n}") for n in range(200)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert 60 < sum(drawn(1)) < 140


def test_worker_of_the_thread_is_killed_and_no_other_process() -> None:
    worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        fault_injection.has_worker(lambda: worker.pid)
        in_another_thread = threading.Thread(target=fault_injection.has_worker, args=(lambda: other.pid,))
        in_another_thread.start()
        in_another_thread.join()
        Faults(parse("*.work=kill-worker"), 0).reached("work", "face", "a1")
        assert worker.wait(60) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        fault_injection.has_worker(lambda: None)
        other.kill()
        other.wait()
