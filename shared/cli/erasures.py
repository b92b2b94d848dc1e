"""``lipstage audit --erasures``: what was erased in a range of days."""

from datetime import UTC, datetime

from shared.cli import columns, console
from shared.cli.audit import days
from shared.cli.connection import connect
from shared.cli.erase_report import size_text
from shared.client.erasure_records import ErasureRecord

DROP = ("OBJECTS", "VERSION", "TENANT", "KEPT")
"""Columns that a narrow terminal does not show, the least needed first."""


def run(tenant: str | None, first: str | None, last: str | None, as_json: bool) -> None:
    """Print the records of erasures, the oldest first. Raises CliError, ClientError."""
    first_day, last_day = days(first, last)
    found = sorted(connect().erasures(tenant), key=lambda record: record.erased_ms)
    records = [record for record in found if first_day <= _moment(record).date() <= last_day]
    if as_json:
        for record in records:
            console.emit_json(record.model_dump(mode="json"))
        return
    if not records:
        console.note(f"nothing was erased from {first_day} to {last_day} (UTC)")
        return
    headers = ["ERASED", "JOB", "TENANT", "OBJECTS", "BYTES", "KEPT", "RECORDS UNTIL", "VERSION"]
    columns.table(headers, [_cells(record) for record in records], DROP)


def _moment(record: ErasureRecord) -> datetime:
    return datetime.fromtimestamp(record.erased_ms / 1000, UTC)


def _cells(record: ErasureRecord) -> list[str]:
    until = list(record.records_until.values())
    known = [ms for ms in until if ms is not None]
    last = "ever" if None in until else f"{datetime.fromtimestamp(max(known) / 1000, UTC).date()}" if known else "-"
    return [
        f"{_moment(record):%Y-%m-%d %H:%M}",
        record.job_id or "-",
        record.tenant,
        str(sum(one.objects for one in record.deleted.values())),
        size_text(sum(one.bytes for one in record.deleted.values())),
        str(sum(one.objects for one in record.kept.values())),
        last,
        record.version,
    ]
