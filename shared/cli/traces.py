"""``lipstage traces``: the renders that satisfy an expression, newest first."""

import time
from collections.abc import Sequence

from shared.cli import columns, console, trace_source
from shared.cli.failures import arguments
from shared.client.job_key import JobKey
from shared.client.traces import SHOWN, FoundRender, Query, find_renders
from shared.messages.names import DEFAULT_TENANT
from shared.telemetry.query.expression import Scalar
from shared.telemetry.query.fields import DURATION, Type, fields

JOB, TENANT, ENGINE, OUTCOME = SHOWN


def traces(where: str, since_ns: int, until_ns: int | None, limit: int, as_json: bool) -> None:
    """Print the newest renders that match. Raises CliError, ClientError."""
    query = Query.parse(where)
    found = find_renders(trace_source.source(), where, since_ns=since_ns, until_ns=until_ns, limit=limit + 1)
    if len(found) > limit:
        console.note("more renders match: raise --limit")
    found = found[:limit]
    if as_json:
        for render in found:
            console.emit_json(as_record(render))
        return
    if not found:
        console.note("no render matches" if where.strip() else "no render in this time")
        return
    table(found, query.keys)
    first = JobKey(_text(found[0].values.get(TENANT)), _text(found[0].values.get(JOB)))
    console.note(f"`lipstage trace {arguments(first)}` shows where its time went")


def known(as_json: bool) -> None:
    """Print what an expression can ask for."""
    rows = [(field.key, field.type.value, field.unit, field.description) for field in fields().values()]
    if as_json:
        for key, kind, unit, description in rows:
            console.emit_json({"key": key, "type": kind, "unit": unit, "description": description})
        return
    cells = [[key, kind, unit or "-", description or "-"] for key, kind, unit, description in rows]
    columns.table(["ATTRIBUTE", "TYPE", "UNIT", "MEANING"], cells, ["UNIT"])


def as_record(render: FoundRender) -> dict[str, object]:
    """For scripts: stable names, times in milliseconds since the epoch."""
    return {
        "job_id": render.values.get(JOB),
        "tenant": render.values.get(TENANT),
        "engine": render.values.get(ENGINE),
        "outcome": render.values.get(OUTCOME),
        "start_ms": render.start_ns // 1_000_000,
        "duration_s": round(render.duration_ns / 1e9, 3),
        "trace_id": render.trace_id,
        "attributes": {key: value for key, value in render.values.items() if key not in SHOWN},
    }


def table(found: Sequence[FoundRender], asked: Sequence[str]) -> None:
    """Print renders with the attributes that the expression names, as many columns as the terminal holds."""
    extra = [key for key in asked if key not in SHOWN]
    headers = ["JOB", "START", "ENGINE", "OUTCOME", *(key.upper() for key in extra), "TRACE"]
    with_tenant = any(render.values.get(TENANT) != DEFAULT_TENANT for render in found)
    if with_tenant:
        headers.insert(1, "TENANT")
    rows = []
    for render in found:
        row = [_text(render.values.get(JOB)), _local_time(render.start_ns), _text(render.values.get(ENGINE))]
        row += [_text(render.values.get(OUTCOME)), *(_cell(render, key) for key in extra), render.trace_id]
        if with_tenant:
            row.insert(1, _text(render.values.get(TENANT)))
        rows.append(row)
    columns.table(headers, rows, ["TRACE", "ENGINE", "START"])


def _cell(render: FoundRender, key: str) -> str:
    value = render.duration_ns if key == DURATION else render.values.get(key)
    if fields()[key].type is Type.DURATION and isinstance(value, int):
        return console.seconds(value / 1e9)
    return _text(value)


def _text(value: Scalar | None) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
    return str(value)


def _local_time(ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ns / 1e9))
