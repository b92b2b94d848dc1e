"""``lipstage dlq ls``, ``show``, ``park`` and ``discard``."""

import heapq
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from shared.cli import columns, console, dlq_filters
from shared.cli.connection import connect
from shared.cli.errors import CliError, ExitCode
from shared.cli.failures import arguments
from shared.cli.printable import flat
from shared.client import JobKey, Listed
from shared.client.dead_letters.detail import DeadLetterDetail, pretty
from shared.client.dead_letters.listing import Group, Groups

LIMIT = 50
"""Dead letters that ``ls`` shows as a table."""
MESSAGE_WIDTH = 60
MAX_LINES = 60
"""Lines of the value that ``show`` prints."""
PRESENT = "present"


def ls(given: Mapping[str, Any], group_by: str | None, limit: int | None, as_json: bool) -> None:
    """List dead letters, or count them by one property. Raises CliError, ClientError."""
    chosen = dlq_filters.parse(given)
    groups = Groups(group_by) if group_by is not None else None
    total = Group()
    found = _counted(connect(store=False).dead_letters(chosen), total)
    if groups is not None:
        for one in found:
            groups.add(one)
        _show_groups(groups, total, as_json)
        return
    if as_json and limit is None:
        for one in found:
            console.emit_json(one.as_json())
        return
    newest = heapq.nlargest(limit or LIMIT, found, key=lambda one: (one.dead.timestamp_ms, one.dead.packed_id))
    if as_json:
        for one in newest:
            console.emit_json(one.as_json())
        return
    if not newest:
        console.note("no dead letter matches" if given else "no dead letters")
        return
    _table(newest)
    if total.count > len(newest):
        console.note(f"the newest {len(newest)} are shown: raise --limit, or use --group-by code")
    console.say(_summary(total))
    console.note(f"explain one with `lipstage dlq show {newest[0].dead.id}`")


def _counted(found: Iterator[Listed], total: Group) -> Iterator[Listed]:
    for one in found:
        total.add(one.dead)
        yield one


def _summary(total: Group) -> str:
    return f"{_number(total.count)}, oldest {_local(total.oldest_ms)}, newest {_local(total.newest_ms)}"


def _number(count: int) -> str:
    return f"{count} dead letter{'s' if count != 1 else ''}"


def _show_groups(groups: Groups, total: Group, as_json: bool) -> None:
    if as_json:
        for name, group in groups.ordered():
            console.emit_json(
                {
                    groups.by: name,
                    "count": group.count,
                    "oldest_ms": group.oldest_ms,
                    "newest_ms": group.newest_ms,
                    "example": group.example,
                }
            )
        return
    if not total.count:
        console.note("no dead letter matches")
        return
    rows = [
        [name, str(group.count), _local(group.oldest_ms), _local(group.newest_ms), group.example]
        for name, group in groups.ordered()
    ]
    columns.table([groups.by.upper(), "COUNT", "OLDEST", "NEWEST", "EXAMPLE"], rows, ["OLDEST", "NEWEST"])
    console.say(_summary(total))


def _table(found: list[Listed]) -> None:
    headers = ["ID", "TIME", "STAGE", "CODE", "STATE", "JOB", "TENANT", "VERSION", "MESSAGE"]
    rows = [
        [
            one.dead.id,
            _local(one.dead.timestamp_ms),
            one.dead.stage or "-",
            one.dead.code or "-",
            str(one.state),
            one.job_id or "-",
            one.tenant or "-",
            one.dead.version or "-",
            _short(one.dead.errors.get("message", "")) or "-",
        ]
        for one in found
    ]
    drop = ["TENANT"] if len({one.tenant for one in found}) == 1 else []
    drop += ["MESSAGE", "VERSION", "TENANT", "TIME"]
    columns.table(headers, rows, list(dict.fromkeys(drop)))


def _short(text: str) -> str:
    text = flat(text)
    return text if len(text) <= MESSAGE_WIDTH else f"{text[: MESSAGE_WIDTH - 3]}..."


def show(dead_letter_id: str, as_json: bool) -> None:
    """Explain one dead letter. Raises CliError, ClientError."""
    detail = connect().dead_letter(dead_letter_id)
    if as_json:
        console.emit_json(detail.as_json() | {"replay": _replay_command(detail)})
        return
    one, dead = detail.listed, detail.listed.dead
    job = f"{one.job_id} of the tenant {one.tenant}" if one.job_id else "names no job"
    rows = [
        ("id", dead.id),
        ("time", _local(dead.timestamp_ms)),
        ("state", _state(detail)),
        ("job", job),
        ("stage", f"{dead.stage}, version {dead.version or 'unknown'}, {dead.errors.get('host', 'unknown host')}"),
        ("failure", f"{dead.code} ({dead.failure_class}) after {dead.errors.get('delivery.count', '?')} attempts"),
        ("reason", flat(dead.errors.get("message", ""))),
        ("source", f"{dead.source}, written {_local(dead.original_ms)}"),
        ("trace", dead.trace_id or "-"),
    ]
    columns.fields(rows)
    if exception := dead.errors.get("exception.class"):
        console.say(f"exception {exception}")
    for line in dead.errors.get("exception.stacktrace", "").splitlines():
        console.say(f"  {line}")
    _show_record(detail)
    absent = [item for item in detail.objects if item.available != PRESENT]
    if detail.objects and not absent:
        console.say(f"objects  {len(detail.objects)}, all present: {', '.join(item.role for item in detail.objects)}")
    for item in detail.objects if absent else ():
        line = f"object   {item.role}: {item.bucket}/{item.key}: {item.available}"
        console.say(console.styled(line, red=item.available != PRESENT))
    if len(detail.related) > 1:
        console.say("history of the job")
        for other in detail.related:
            earlier = other.dead
            mark = "  <- this one" if earlier.id == dead.id else ""
            text = (
                f"  {earlier.id}  {_local(earlier.timestamp_ms)}  {earlier.stage}  {earlier.code}  {other.state}{mark}"
            )
            console.say(text)
    if one.job_id and one.tenant:
        console.note(f"see its trace with `lipstage trace {arguments(JobKey(one.tenant, one.job_id))}`")
    if any(item.available == "missing" for item in detail.objects):
        console.note("objects that the record needs are missing: a replay would fail")
    newest = detail.related[-1].dead.id
    if newest != dead.id:
        console.note(f"the job failed again since then: see `lipstage dlq show {newest}`")
        return
    if detail.would_fail_the_same_way:
        console.note("code and version are unchanged: a replay needs --force, --patch or --transform")
    console.note(f"send it back with `{_replay_command(detail)}`")


def _show_record(detail: DeadLetterDetail) -> None:
    dead = detail.listed.dead
    console.say(f"key      {(dead.key or b'null').decode(errors='backslashreplace')}")
    for name, value in dead.original_headers:
        console.say(f"header   {name}: {'null' if value is None else value.decode(errors='backslashreplace')}")
    lines = pretty(dead)
    console.say("value")
    for line in lines[:MAX_LINES]:
        console.say(f"  {line}")
    if len(lines) > MAX_LINES:
        console.say(f"  ... {len(lines) - MAX_LINES} more lines: see --json")


def _state(detail: DeadLetterDetail) -> str:
    done = detail.state
    if done is None:
        return str(detail.listed.state)
    text = f"{detail.listed.state}, by {done.by} at {_local(done.at_ms)}, run {done.run_id}"
    if done.target is not None:
        text += f", to {done.target.topic}/{done.target.partition}/{done.target.offset}"
    return f"{text}: {flat(done.reason)}" if done.reason else text


def _replay_command(detail: DeadLetterDetail) -> str:
    force = " --force" if detail.listed.state.name != "new" or detail.would_fail_the_same_way else ""
    return f"lipstage dlq replay {detail.listed.dead.id}{force} --go"


def put_away(
    action: Literal["park", "discard"],
    given: Mapping[str, Any],
    reason: str | None,
    go: bool,
    by: str | None,
    as_json: bool,
) -> ExitCode:
    """Park or discard dead letters, or print how many that would be. Raises CliError, ClientError."""
    chosen = dlq_filters.parse(given)
    counts, errors = connect().put_away(action, chosen, by=by or dlq_filters.operator(), reason=reason, go=go)
    done = counts["parked"] + counts["discarded"]
    if as_json:
        console.emit_json(
            {"action": action, "go": go, "done": done, "before": counts["before"], "errors": list(errors)}
        )
    else:
        past = "parked" if action == "park" else "discarded"
        console.say(f"{_number(done)} {past if go else f'to {action}'}; {past} before: {counts['before']}")
        if not go and done:
            console.note("nothing was done: add --go")
    for error in errors:
        console.note(f"not sent: {error}")
    if counts["failed"]:
        raise CliError(f"{counts['failed']} dead letters could not be noted", "run the same command again")
    return ExitCode.DONE


def _local(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ms / 1000)) if ms > 0 else "-"
