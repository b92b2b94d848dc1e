"""watch, jobs, job, cancel, fetch and purge."""

import time

from shared.cli import console, outcome, watching
from shared.cli.connection import connect
from shared.cli.errors import CliError, ExitCode
from shared.cli.failures import arguments
from shared.cli.output_file import OutputFile
from shared.cli.printable import flat
from shared.client import JobNotFinished, JobState
from shared.client.job_key import JobKey
from shared.messages.events import TERMINAL_TYPES, AnyEvent, Done, Failed, RejectedEvent


def watch(job: JobKey, timeout_s: float | None, max_events: int, as_json: bool) -> ExitCode:
    """Show a job's events, past ones included, until it ends. Raises CliError, ClientError."""
    client = connect()
    past, start = client.past_events(job, max_events=max_events)
    if not any(event.type in TERMINAL_TYPES for event in past):
        terminal = client.terminal_event(job)
        if terminal is not None:
            # Its events have been deleted by now; the object store still has the last one.
            console.emit_json(outcome.as_json(terminal)) if as_json else outcome.report(terminal)
            return outcome.exit_code(terminal)
        if not past:
            console.note(f"nothing is known of {job.job_id} yet; waiting")

    def emit(event: AnyEvent) -> None:
        console.emit_json(event.model_dump(mode="json", exclude_none=True))

    ended = watching.watch(client, job, start, past=past, timeout_s=timeout_s, on_event=emit if as_json else None)
    if not as_json:
        outcome.report(ended)
    return outcome.exit_code(ended)


def jobs(limit: int, max_events: int, as_json: bool, tenant: str | None = None) -> None:
    """Print the newest jobs, of every tenant or of one. Raises CliError, ClientError."""
    newest = connect().jobs(limit=limit, tenant=tenant, max_events=max_events)
    if as_json:
        for state in newest:
            console.emit_json(state.as_json())
        return
    if not newest:
        console.note("no jobs yet")
        return
    console.table(
        ("JOB", "STATUS", "TENANT", "STAGE", "ENGINE", "VIDEO", "TIME", "STARTED"),
        [
            (
                state.job_id,
                _status(state),
                state.tenant,
                state.current_stage or "-",
                state.engine or "-",
                _video_length(state),
                _elapsed(state),
                _local_time(state.first_ms),
            )
            for state in newest
        ],
    )


def job(key: JobKey, max_events: int, as_json: bool) -> None:
    """Print the state of one job. Raises CliError, ClientError."""
    state = connect().job(key, max_events=max_events)
    if as_json:
        console.emit_json(state.as_json())
        return
    rows = [
        ("job", state.job_id),
        ("tenant", state.tenant),
        ("status", _status(state)),
        ("engine", state.engine or "-"),
        ("started", _local_time(state.first_ms)),
        ("trace", state.trace_id or "-"),
    ]
    rows += [("batch", state.batch)] if state.batch else []
    rows += [("label", flat(f"{name}={value}")) for name, value in state.labels.items()]
    rows += [(name, _stage_text(state, name)) for name in state.stages]
    rows += [("warning", flat(f"{code}: {message}")) for code, message in state.warnings]
    for name, text in rows:
        console.say(f"{name:<9}{text}")
    terminal = state.terminal_event
    if isinstance(terminal, Done):
        for line in outcome.summary(terminal, None):
            if line.split()[0] in ("video", "format", "render", "drift", "duration"):
                console.say(line)
    elif (reason := state.waiting or terminal) is not None:
        console.say(f"{'reason':<9}{reason.code} in {reason.stage}: {flat(reason.message)}")


def cancel(key: JobKey) -> None:
    """Send a cancel command. Raises CliError, ClientError."""
    connect().cancel(key)
    console.say(f"cancel of {key.job_id} sent")


def fetch(key: JobKey, output: OutputFile, poster: bool, max_events: int) -> None:
    """Download the result of a finished job. Raises CliError, ClientError."""
    output.check()
    client = connect()
    terminal = client.terminal_event(key) or client.job(key, max_events=max_events).terminal_event
    if terminal is None:
        raise CliError(f"job {key.job_id} has not ended", f"wait for it with `lipstage watch {arguments(key)}`")
    if not isinstance(terminal, Done):
        raise CliError(f"job {key.job_id} has no video: {terminal.type}, {terminal.code}: {terminal.message}")
    with output.writing() as temporary:
        client.download(terminal.poster if poster else terminal.video, temporary)
    if not output.is_stdout:
        console.say(output.name)


def purge(key: JobKey, force: bool, as_json: bool) -> None:
    """Delete everything stored of a job, and print how much that was. Raises CliError, ClientError."""
    try:
        purged = connect().purge(key, force=force)
    except JobNotFinished as e:
        hint = f"cancel it first with `lipstage cancel {arguments(key)}`, or use --force"
        raise CliError(e.message, hint) from None
    if as_json:
        console.emit_json({"job_id": key.job_id, "artifacts": purged.artifacts, "inputs": purged.inputs})
    else:
        console.say(f"{purged.artifacts} artifacts and {purged.inputs} inputs of {key.job_id} deleted")


def _status(state: JobState) -> str:
    if state.waiting is not None:
        return f"{state.status} {state.waiting.code}"
    if state.status in ("rejected", "failed") and isinstance(state.terminal_event, RejectedEvent | Failed):
        return f"{state.status} {state.terminal_event.code}"
    return state.status


def _video_length(state: JobState) -> str:
    return f"{state.terminal_event.duration_s:.2f} s" if isinstance(state.terminal_event, Done) else "-"


def _elapsed(state: JobState) -> str:
    terminal = state.terminal_event
    elapsed = terminal.total_s if isinstance(terminal, Done) else (state.last_ms - state.first_ms) / 1000
    return console.seconds(elapsed)


def _local_time(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ms / 1000)) if ms else "-"


def _stage_text(state: JobState, name: str) -> str:
    stage = state.stages[name]
    if stage.state == "finished":
        time_text = "" if stage.seconds is None else f" in {console.seconds(stage.seconds)}"
        return f"finished{time_text}{', from the cache' if stage.cached else ''}"
    if stage.waiting_for:
        return f"waiting: {stage.waiting_for}"
    if stage.state == "running":
        return f"{stage.percent:.0f} %" + (f", attempt {stage.attempt}" if stage.attempt > 1 else "")
    return "waiting" if state.terminal_event is None else "not reached"
