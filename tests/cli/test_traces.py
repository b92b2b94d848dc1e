"""`lipstage traces` and `lipstage audit`: tables, JSON, CSV, and errors."""

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.cli import audit as audit_command
from shared.cli import trace_source
from shared.client.audit import COLUMNS, Audit, AuditFilter, row_of
from shared.client.traces import FoundRender, Query
from shared.telemetry import pseudonyms
from tests.cli.conftest import Lipstage
from tests.client.test_audit import LIFE, state

RENDER = {"render.job": "spot-0042", "tenant": "default", "engine": "sonic", "outcome": "done"}
FOUND = [
    FoundRender("ab" * 16, "a" * 16, 1_800_000_000 * 10**9, 61 * 10**9, RENDER | {"audio.drift_ms": 140}),
    FoundRender("cd" * 16, "b" * 16, 1_700_000_000 * 10**9, 5 * 10**8, RENDER | {"render.slow": True}),
]


class Fixed:
    """A source that finds the same renders, whatever is asked."""

    def __init__(self, found: list[FoundRender]) -> None:
        self.found = found
        self.asked: tuple[Any, ...] = ()

    def renders(self, query: Query, since_ns: int, until_ns: int, limit: int) -> list[FoundRender]:
        self.asked = (query.text, since_ns, until_ns, limit)
        return self.found[:limit]


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch) -> Fixed:
    made = Fixed(FOUND)
    monkeypatch.setattr(trace_source, "source", lambda: made)
    return made


def test_renders_are_a_table_with_the_attributes_that_were_asked_for(lipstage: Lipstage, fixed: Fixed) -> None:
    ran = lipstage("traces", "--where", "audio.drift_ms > 100 or render.slow or duration > 1m", "--since", "30d")
    header, first, second = ran.out.splitlines()
    assert header.split() == ["JOB", "START", "ENGINE", "OUTCOME", "AUDIO.DRIFT_MS", "RENDER.SLOW", "DURATION", "TRACE"]
    assert first.split()[3:] == ["sonic", "done", "140", "-", "61.0", "s", "ab" * 16]
    assert second.split()[3:] == ["sonic", "done", "-", "yes", "0.50", "s", "cd" * 16]
    assert "lipstage trace spot-0042" in ran.err


def test_renders_as_json_have_stable_names(lipstage: Lipstage, fixed: Fixed) -> None:
    ran = lipstage(
        "traces", "--where", "audio.drift_ms > 100", "--json", "--limit", 1, "--since", "2h", "--until", "1h"
    )
    assert ran.json == {
        "job_id": "spot-0042", "tenant": "default", "engine": "sonic", "outcome": "done",
        "start_ms": 1_800_000_000_000, "duration_s": 61.0, "trace_id": "ab" * 16, "attributes": {"audio.drift_ms": 140},
    }  # fmt: skip
    assert "raise --limit" in ran.err
    where, since, until, limit = fixed.asked
    assert (where, until - since, limit) == ("audio.drift_ms > 100", 3600 * 10**9, 2)


def test_refused_expression_shows_the_place(lipstage: Lipstage, fixed: Fixed) -> None:
    ran = lipstage("traces", "--where", "inference.steps > 20 and audio.drift > 100")
    assert ran.code == 2
    lines = ran.err.splitlines()
    assert lines[0] == "error: QUERY_UNKNOWN_ATTRIBUTE: audio.drift is not a queried attribute"
    assert lines[2].index("^") == lines[1].index("audio.drift ")
    assert "audio.drift_ms" in lines[3]


def test_attributes_are_listed(lipstage: Lipstage) -> None:
    ran = lipstage("traces", "--attributes")
    assert ran.code == 0 and "audio.drift_ms" in ran.out and "whole number" in ran.out


def test_nothing_found_is_a_note(lipstage: Lipstage, fixed: Fixed) -> None:
    fixed.found = []
    assert lipstage("traces", "--where", "render.slow").err == "no render matches\n"
    assert lipstage("traces", "--since", "nonsense").code == 2


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The wanted filters; the audit finds one job."""
    asked: list[Any] = []

    class Client:
        def audit(self, wanted: AuditFilter, *, max_events: int) -> Audit:
            asked.append(wanted)
            return Audit([row_of(state(LIFE, "=2+5"))], is_complete=max_events > 1)

    monkeypatch.setattr(audit_command, "connect", lambda **_: Client())
    return asked


def test_audit_is_a_table_with_totals(lipstage: Lipstage, rows: list[Any]) -> None:
    ran = lipstage("audit", "--department", "sales", "--from", "2027-01-15", "--to", "2027-01-15")
    assert ran.code == 0
    assert "k1:00112233" in ran.out and "140 ms" in ran.out
    assert ran.out.splitlines()[-1] == (
        "1 jobs from 2027-01-15 to 2027-01-15 (UTC): 1 done; 9.5 s of video, 34.8 s of work, 31.5 GPU seconds"
    )
    assert (rows[0].department, str(rows[0].first_day), str(rows[0].last_day)) == ("sales", "2027-01-15", "2027-01-15")


def test_audit_as_csv_can_be_read_and_is_no_formula(lipstage: Lipstage, rows: list[Any]) -> None:
    (row,) = csv.DictReader(io.StringIO(lipstage("audit", "--csv").out))
    assert tuple(row) == COLUMNS
    assert (row["job_id"], row["duration_s"], row["code"]) == ("'=2+5", "9.5", "")


def test_audit_as_json_has_the_same_names(lipstage: Lipstage, rows: list[Any]) -> None:
    assert tuple(lipstage("audit", "--json").json) == COLUMNS


def test_incomplete_audit_fails(lipstage: Lipstage, rows: list[Any]) -> None:
    ran = lipstage("audit", "--scan", 1)
    assert ran.code == 1 and "jobs may be missing" in ran.err


def test_days_default_to_a_week_and_are_checked(lipstage: Lipstage, rows: list[Any]) -> None:
    assert lipstage("audit").code == 0
    assert (rows[0].last_day - rows[0].first_day).days == 6
    assert (datetime.now(UTC).date() - rows[0].last_day).days in (0, 1)
    assert lipstage("audit", "--from", "2027-01-16", "--to", "2027-01-15").code == 2
    assert lipstage("audit", "--from", "yesterday").code == 2
    assert lipstage("audit", "--csv", "--json").code == 2


@pytest.mark.usefixtures("nowhere")
def test_owner_is_looked_up_by_every_key(lipstage: Lipstage, rows: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pseudonyms.VARIABLE, "k2:0123456789abcdef,k1:fedcba9876543210")
    assert lipstage("audit", "--owner", "ann@example.org").code == 0
    hashes = rows[0].owner_hashes
    assert [one.partition(":")[0] for one in hashes] == ["k2", "k1"]
    assert lipstage("audit", "--owner", hashes[1]).code == 0
    assert rows[1].owner_hashes == (hashes[1],)
    monkeypatch.delenv(pseudonyms.VARIABLE)
    assert lipstage("audit", "--owner", "ann@example.org").code == 2
