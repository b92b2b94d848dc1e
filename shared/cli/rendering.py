"""What render and submit do, once their options are read."""

from pathlib import Path
from typing import TYPE_CHECKING

from shared.cli import assignments, console, manifest, order, outcome
from shared.cli.connection import Connection, connect, runtime_settings
from shared.cli.errors import BadUse, CliError, ExitCode, Unreachable
from shared.cli.local_files import writable_target
from shared.cli.order import Order
from shared.messages.events import Done

if TYPE_CHECKING:
    from shared.cli.submit import Submitted


def _defaults(texts: list[str], engine: str | None, tenant: str | None) -> assignments.Fields:
    fields = assignments.parse(texts, engine or "puppet")
    return fields | ({"engine": engine} if engine else {}) | ({"tenant": tenant} if tenant else {})


def _check(portrait: Path, speech: Path, fields: assignments.Fields) -> Order:
    limits = runtime_settings()
    return order.checked(
        portrait, speech, fields, max_portrait_mb=limits.max_portrait_mb, max_speech_mb=limits.max_speech_mb
    )


def prepared(
    portrait: Path, speech: Path, texts: list[str], engine: str | None, job_id: str | None, tenant: str | None
) -> Order:
    """The order that the options describe. Raises BadUse; contacts nothing."""
    fields = _defaults(texts, engine, tenant) | ({"job_id": job_id} if job_id else {})
    return _check(portrait, speech, fields)


def prepared_batch(path: Path, texts: list[str], engine: str | None, tenant: str | None) -> list[Order]:
    """The orders of a manifest; options are defaults for its lines. Raises BadUse; contacts nothing."""
    return manifest.read(path, _defaults(texts, engine, tenant), _check)


def submit_all(orders: list[Order], as_json: bool) -> None:
    """Submit one after the other; each id is printed as soon as the broker has it. Raises CliError."""
    from shared.cli.submit import submit

    to = connect()
    try:
        for number, one in enumerate(orders, 1):
            try:
                done = submit(to, one)
            except Unreachable as e:
                if number > 1:
                    e.hint = f"{number - 1} of {len(orders)} jobs were submitted; their ids stand above"
                raise
            if as_json:
                console.emit_json({"job_id": done.job_id, "tenant": one.tenant, "trace_id": done.trace_id})
            else:
                console.say(done.job_id)
    finally:
        to.tracing.shutdown()


def render(wanted: Order, target: Path, timeout_s: float | None, as_json: bool) -> ExitCode:
    """Submit, follow, fetch, report. Ctrl-C cancels the job. Raises CliError."""
    from shared.cli.events import tail
    from shared.cli.submit import submit
    from shared.cli.waiting import wait

    writable_target(target)
    to = connect()
    try:
        # Before the request is sent, so that no event of the job can lie before it.
        start = tail(to)
        submitted = submit(to, wanted)
        console.note(f"job {wanted.job_id} submitted")
        try:
            end = wait(to, submitted.job, start, own=submitted, timeout_s=timeout_s)
        except KeyboardInterrupt:
            return _cancelled(to, submitted)
        file = target if isinstance(end, Done) else None
        if isinstance(end, Done):
            outcome.download(to, end.video, target)
        if as_json:
            console.emit_json(outcome.as_json(end, file))
        else:
            outcome.report(end, file)
        return outcome.exit_code(end)
    finally:
        to.tracing.shutdown()


def _cancelled(to: Connection, submitted: "Submitted") -> ExitCode:
    """Cancel our job. Raises BadUse when the job of that id is another request's: that one goes on."""
    from shared.cli.own_request import OwnRequest
    from shared.cli.submit import cancel

    try:
        OwnRequest(to, submitted).came_before()
    except BadUse:
        raise
    except CliError as e:  # It can't be told; that must not keep the cancel back.
        console.note(e.message)
    console.note(f"interrupted; cancelling job {submitted.job_id}")
    cancel(to, submitted.job_id, submitted.tenant)
    return ExitCode.INTERRUPTED
