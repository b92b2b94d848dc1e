"""``lipstage audit``: the jobs of a department, an owner or a tenant in a range of days, with outcome and cost."""

import csv
import io
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from shared.cli import columns, console
from shared.cli.connection import connect
from shared.cli.errors import BadUse, ExitCode
from shared.client.audit import COLUMNS, AuditFilter, AuditRow, Totals
from shared.local import stack
from shared.local.hash_keys import pseudonyms_of
from shared.local.settings import LocalSettings
from shared.telemetry import pseudonyms

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters that make a spreadsheet take a text for a formula; a quote before them stops it."""
FIRST = date(1970, 1, 1)
"""No audit begins earlier: times are milliseconds since then."""
DAYS = 7
"""Days of an audit that names no first one, today included."""
SHORT_HASH = 11
"""Characters of an owner's hash in the table: key id and eight digits."""
DROP = (
    *("TRACE", "AUDIO", "FACE", "ENCODE", "INFER", "QUALITY", "REPLAYS", "ATTEMPTS"),
    *("ASKED", "ENGINE", "OWNER", "TENANT"),
)
"""Columns that a narrow terminal does not show, the least needed first."""


def run(
    department: str | None, tenant: str | None, owner: str | None, first: str | None, last: str | None,
    max_events: int, as_csv: bool, as_json: bool,
) -> ExitCode:  # fmt: skip
    """Print the audit. FAILED when rows may be missing: older events were not read, or older jobs are not kept.

    Raises CliError, ClientError.
    """
    if as_csv and as_json:
        raise BadUse("choose --csv or --json")
    first_day, last_day = days(first, last)
    hashes = None if owner is None else owner_hashes(owner)
    wanted = AuditFilter(first_day, last_day, department, tenant, hashes)
    found = connect(store=False).audit(wanted, max_events=max_events)
    if as_csv:
        for line in csv_lines(found.rows):
            console.say(line)
    elif as_json:
        for row in found.rows:
            console.emit_json(row.as_json())
    else:
        table(found.rows, first_day, last_day)
    if found.is_complete:
        return ExitCode.DONE
    if found.is_projected:
        console.note("incomplete: the projection keeps no jobs from before, and some may be missing")
    else:
        console.note(
            "incomplete: older events were not read, or are not kept any more, and jobs may be missing;"
            f" raise --scan {max_events}"
        )
    return ExitCode.FAILED


def days(first: str | None, last: str | None) -> tuple[date, date]:
    """First and last day of an audit. Raises BadUse."""
    today = datetime.now(UTC).date()
    last_day = day(last, "--to") if last is not None else today
    week_before = min(today, last_day) - timedelta(days=DAYS - 1)
    first_day = day(first, "--from") if first is not None else week_before
    if first_day > last_day:
        raise BadUse(f"--from {first_day} is after --to {last_day}")
    return first_day, last_day


def day(text: str, option: str) -> date:
    """A day as YYYY-MM-DD. Raises BadUse."""
    try:
        found = date.fromisoformat(text.strip())
    except ValueError:
        found = date.min
    if found < FIRST:
        raise BadUse(f"{option} {text!r} is not a day", f"as 2026-11-28, from {FIRST} on; days are UTC")
    return found


def owner_hashes(owner: str) -> tuple[str, ...]:
    """Every hash that the owner may have; a hash stands for itself. Raises BadUse without a key."""
    if pseudonyms.is_pseudonym(owner):
        return (owner,)
    try:
        return pseudonyms_of(stack.running(LocalSettings())).candidates(owner)
    except LookupError as e:
        raise BadUse(str(e), "set it as the services have it, or give the hash itself: k1:...") from None
    except ValueError as e:
        raise BadUse(f"{pseudonyms.VARIABLE} can't be used: {e}") from None


def table(rows: list[AuditRow], first_day: date, last_day: date) -> None:
    """Print the rows as a table, and what they add up to."""
    days = f"{first_day} to {last_day} (UTC)"
    if not rows:
        console.note(f"no job of {days} matches")
        return
    headers = ["JOB", "DATE", "TENANT", "DEPARTMENT", "OWNER", "ENGINE", "OUTCOME", "ASKED", "VIDEO"]
    headers += ["AUDIO", "FACE", "INFER", "ENCODE", "GPU", "DRIFT", "QUALITY", "ATTEMPTS", "REPLAYS", "TRACE"]
    columns.table(headers, [_cells(row) for row in rows], DROP)
    console.say(summary(Totals.of(rows), days))


def summary(totals: Totals, days: str) -> str:
    """The totals as one line."""
    outcomes = ", ".join(f"{count} {name}" for name, count in sorted(totals.outcomes.items()))
    return (
        f"{totals.jobs} jobs from {days}: {outcomes}; {totals.video_s:.1f} s of video,"
        f" {totals.stage_s:.1f} s of work, {totals.gpu_s:.1f} GPU seconds"
    )


def _cells(row: AuditRow) -> list[str]:
    outcome = f"{row.outcome} {row.code}" if row.code and row.outcome in ("rejected", "failed") else row.outcome
    stages = [_seconds(one) for one in (row.audio_s, row.face_s, row.infer_s, row.encode_s)]
    drift = "-" if row.drift_ms is None else f"{row.drift_ms} ms"
    quality = "-" if row.quality is None else f"{row.quality:.2f}"
    return [
        *(row.job_id, row.date, row.tenant, row.department or "-", (row.owner_hash or "-")[:SHORT_HASH]),
        *(row.engine or "-", outcome, _seconds(row.duration_asked_s), _seconds(row.duration_s), *stages),
        *(_seconds(row.gpu_s), drift, quality, str(row.attempts), str(row.replays), row.trace_id or "-"),
    ]


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


def csv_lines(rows: Iterable[AuditRow]) -> Iterable[str]:
    """The rows as lines of CSV under a header (RFC 4180). No text is a formula in a spreadsheet."""
    yield ",".join(COLUMNS)
    for row in rows:
        line = io.StringIO()
        values = row.as_json()
        csv.writer(line, lineterminator="").writerow([_safe(values[name]) for name in COLUMNS])
        yield line.getvalue()


def _safe(value: object) -> object:
    """An empty cell for None; a text that a spreadsheet would calculate gets a quote in front."""
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
