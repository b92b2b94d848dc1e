"""Where a part of confinement is missing, the worker runs without it, and says so; or does not start, if required."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from shared.local import machine
from shared.runtime.execute.confinement_report import ConfinementReport
from shared.runtime.execute.worker_process import WorkerProcess
from shared.runtime.failures import HandlerUnavailable
from shared.runtime.host.settings_check import confinement_faults
from shared.runtime.host.stage_settings import stage_settings
from shared.runtime.settings_variables import InvalidSettings
from shared.slot.confinement import probe
from shared.slot.confinement.confine import CALLS, FILES, PROGRAMS, Mode, level
from shared.slot.spec import StageSpec
from tests.runtime.log_lines import captured

ROOT = Path(__file__).resolve().parents[2]
SPEC = StageSpec(name="trial", handler="tests.runtime.trial_handler", inputs={})
WITHOUT_LANDLOCK = """
import errno, runpy, sys
import pyseccomp
calls = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
calls.add_rule(pyseccomp.ERRNO(errno.ENOSYS), 444)
calls.load()
sys.argv[:] = ["probe", sys.argv[1]]
runpy.run_module("shared.slot.confinement.probe", run_name="__main__")
"""
"""Runs the probe under a filter like those of container runtimes that do not know Landlock."""


@pytest.fixture
def without_libseccomp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes find a pyseccomp that finds no library."""
    (tmp_path / "pyseccomp.py").write_text('raise RuntimeError("Unable to find libseccomp")')
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")


def start(mode: Mode, on_start: Callable[[tuple[str, ...]], None]) -> None:
    process = WorkerProcess(SPEC, "puppet", confinement=mode, on_start=on_start)
    try:
        process.start()
    finally:
        process.stop()


@pytest.mark.usefixtures("without_libseccomp")
def test_without_libseccomp_files_alone_are_confined() -> None:
    missing: list[str] = []
    start("auto", missing.extend)
    assert [line.partition(":")[0] for line in missing] == [PROGRAMS, CALLS]
    assert "libseccomp.so.2" in missing[0]
    assert level(missing) == "partial"


@pytest.mark.usefixtures("without_libseccomp")
def test_worker_does_not_start_below_required_confinement() -> None:
    with pytest.raises(HandlerUnavailable, match="LIPSTAGE_CONFINEMENT is required, and missing: programs"):
        start("required", lambda _: None)


def test_required_confinement_starts_where_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    missing: list[str] = ["not called"]
    start("required", lambda lines: missing.__setitem__(slice(None), lines))
    assert missing == []


def test_without_landlock_system_calls_alone_are_confined(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LANDLOCK, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    (line,) = json.loads(done.stdout)
    assert line.startswith("files: Landlock: Function not implemented")
    assert level([line]) == "partial"


def test_levels() -> None:
    assert level(()) == "full"
    assert level((f"{FILES}: x",)) == "partial"
    assert level((f"{FILES}: x", f"{PROGRAMS}: x")) == "partial"
    assert level((f"{FILES}: x", f"{PROGRAMS}: x", f"{CALLS}: x")) == "none"


def test_level_is_a_metric_a_detail_of_readyz_and_one_warning() -> None:
    details: dict[str, str] = {}
    with captured("face") as lines:
        report = ConfinementReport("confined-stage", details)
        for _ in range(2):
            report.take((f"{FILES}: no Landlock",))
        assert [(line["event"], line["level"]) for line in lines()] == [("workers_not_confined", "warning")]
        assert details == {"confinement": "partial"}
        assert REGISTRY.get_sample_value("lipstage_confinement_level", {"stage": "confined-stage"}) == 1
        report.take(())
        assert len(lines()) == 1
    assert details == {"confinement": "full"}
    assert REGISTRY.get_sample_value("lipstage_confinement_level", {"stage": "confined-stage"}) == 2


def test_service_refuses_to_start_below_required_confinement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "missing", lambda: (f"{FILES}: no Landlock",))
    assert confinement_faults() == []
    monkeypatch.setenv("LIPSTAGE_CONFINEMENT", "required")
    with pytest.raises(InvalidSettings) as refused:
        stage_settings("audio", None)
    assert "LIPSTAGE_CONFINEMENT=required: files: no Landlock" in refused.value.lines
    stage_settings("relay", None)  # It has no workers.


def test_relay_starts_without_the_keys_of_tenants_and_a_stage_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSTAGE_TENANCY", "signed")
    stage_settings("relay", None)
    with pytest.raises(InvalidSettings) as refused:
        stage_settings("audio", None)
    assert any("LIPSTAGE_TENANT_KEY" in line for line in refused.value.lines)


@pytest.mark.parametrize(
    ("missing", "mode", "expected"),
    [
        ((), "auto", ("ok", "full")),
        ((f"{FILES}: no Landlock",), "auto", ("warn", "partial: workers keep files: no Landlock")),
        ((), "off", ("warn", "none: LIPSTAGE_CONFINEMENT is off")),
    ],
)
def test_doctor_has_a_row(
    monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], mode: str, expected: tuple[str, str]
) -> None:
    monkeypatch.setattr(probe, "missing", lambda: missing)
    monkeypatch.setenv("LIPSTAGE_CONFINEMENT", mode)
    check = machine.worker_confinement()[0]
    assert check.name == "confinement"
    assert check.level == expected[0]
    assert check.result.startswith(expected[1])


@pytest.mark.parametrize(("user", "rows"), [(0, ["confinement", "user"]), (1000, ["confinement"])])
def test_doctor_warns_of_root(monkeypatch: pytest.MonkeyPatch, user: int, rows: list[str]) -> None:
    monkeypatch.setattr(probe, "missing", tuple)
    monkeypatch.setattr("os.geteuid", lambda: user)
    assert [check.name for check in machine.worker_confinement()] == rows
