"""watch, jobs, job, cancel and fetch: of one job; `batches` has those of a batch, `erase` erases."""

import time

from shared.cli import columns, console, outcome
from shared.cli.connection import connect
from shared.cli.errors import CliError, ExitCode
from shared.cli.failures import arguments, batch_arguments
from shared.cli.output_file import OutputFile
from shared.cli.printable import flat
from shared.client.errors import JobNotFound, WaitTimeout
from shared.client.job_key import JobKey
from shared.client.job_state import JobState, is_superseded
from shared.messages.events import TERMINAL_TYPES, AnyEvent, Done, Failed, RejectedEvent, Retrying

CANCEL_WAIT_S = 60.0
"""How long ``cancel --wait`` waits for the end of the job."""


def watch(job: JobKey, timeout_s: float | None, max_events: int, as_json: bool, wait: bool) -> ExitCode:
    """Show a job's events, past ones included, until it ends. Raises CliError, ClientError.

    ``wait``: also when nothing is known of the job yet.
    """
    client = connect()
    client.raise_if_purged(job)
    past, start = client.past_events(job, max_events=max_events)
    if not any(event.type in TERMINAL_TYPES for event in past):
        terminal = client.terminal_event(job)
        if terminal is not None and not is_superseded(terminal, max((event.replays for event in past), default=0)):
            # Its events have been deleted by now; the object store still has the last one.
            console.emit_json(outcome.as_json(terminal)) if as_json else outcome.report(terminal)
            return outcome.exit_code(terminal)
        if not past and client.is_known(job):
            console.note(f"job {job.job_id} is queued: no service has taken it yet")
        elif not past and wait:
            console.note(f"nothing is known of {job.job_id} yet; waiting")
        elif not past:
            raise JobNotFound(
                f"no job {job.job_id} of the tenant {job.tenant} is known",
                hint="check the id and --tenant; --wait waits for a job that is submitted later",
            )

    def emit(event: AnyEvent) -> None:
        console.emit_json(event.model_dump(mode="json", exclude_none=True))

    from shared.cli import watching

    ended = watching.watch(client, job, start, past=past, timeout_s=timeout_s, on_event=emit if as_json else None)
    if not as_json:
        outcome.report(ended)
        if isinstance(ended, Done):
            console.note(f"fetch the video with `lipstage fetch {arguments(job)} -o FILE.mp4`")
    return outcome.exit_code(ended)


def jobs(
    limit: int,
    max_events: int,
    as_json: bool,
    tenant: str | None = None,
    batch: str | None = None,
    statuses: tuple[str, ...] = (),
    since_ms: int = 0,
) -> None:
    """Print the newest jobs that match. Raises CliError, ClientError."""
    newest = connect(store=False).jobs(
        limit=limit + 1, tenant=tenant, batch=batch, statuses=statuses, since_ms=since_ms, max_events=max_events
    )
    has_more, newest = len(newest) > limit, newest[:limit]
    if has_more:
        console.note("more jobs match: raise --limit")
    if as_json:
        for state in newest:
            console.emit_json(state.as_json())
        return
    if not newest:
        filtered = tenant or batch or statuses or since_ms
        console.note("no job matches" if filtered else "no jobs yet")
        return
    table(newest)
    finished = [state for state in newest if state.status == "done"]
    if finished and batch is not None:
        console.note(f"fetch the videos with `lipstage fetch {batch_arguments(batch, finished[0].tenant)} -o FOLDER`")
    elif finished:
        key = JobKey(finished[0].tenant, finished[0].job_id)
        console.note(f"fetch a video with `lipstage fetch {arguments(key)} -o FILE.mp4`")


def table(states: list[JobState]) -> None:
    """Print jobs as a table, with as many columns as the terminal holds."""
    # Least needed first. A column that says the same in every row goes before the others.
    drop = ["TENANT"] if len({state.tenant for state in states}) == 1 else []
    drop += ["ENGINE", "STAGE", "BATCH", "VIDEO", "STARTED", "TIME"]
    headers, cells = ["JOB", "STATUS", "TENANT", "STAGE", "ENGINE", "VIDEO", "TIME", "STARTED"], list[list[str]]()
    for state in states:
        cells.append(
            [
                state.job_id,
                _status(state),
                state.tenant,
                state.current_stage or "-",
                state.engine or "-",
                _video_length(state),
                _elapsed(state),
                _local_time(state.first_ms),
            ]
        )
    if any(state.batch for state in states):
        headers.append("BATCH")
        for state, row in zip(states, cells, strict=True):
            row.append(_batch(state) or "-")
    columns.table(headers, cells, [name for name in drop if name in headers])


def job(key: JobKey, max_events: int, as_json: bool) -> None:
    """Print the state of one job. Raises CliError, ClientError."""
    client = connect()
    state = client.job(key, max_events=max_events)
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
    rows += [("batch", _batch(state))] if state.batch else []
    if state.purged_ms is not None:
        columns.fields([*rows, ("purged", f"{_local_time(state.purged_ms)}: its objects are deleted")])
        return
    rows += [("label", flat(f"{name}={value}")) for name, value in state.labels.items()]
    rows += [(name, _stage_text(state, name)) for name in state.stages]
    rows += [("warning", flat(f"{code}: {message}")) for code, message in state.warnings]
    terminal = state.terminal_event
    if isinstance(terminal, Done):
        told = ("video", "format", "render", "drift", "duration")
        rows += [(name, text) for name, text in outcome.summary(terminal, None) if name in told]
    elif (reason := state.waiting or terminal) is not None:
        rows.append(("reason", f"{reason.code} in {reason.stage}: {flat(reason.message)}"))
    if isinstance(state.waiting, Retrying):
        due = _local_time(state.waiting.due_ms)
        rows.append(("retry", f"attempt {state.waiting.next_attempt} at {due} ({state.waiting.tier})"))
    if state.replays:
        rows.append(("replays", str(state.replays)))
    dead_letter = terminal.dead_letter if isinstance(terminal, Failed) else None
    if dead_letter is not None:
        rows.append(("dlq", f"dead letter {dead_letter.id} on {dead_letter.topic}"))
    columns.fields(rows)
    if isinstance(terminal, Done):
        console.note(f"fetch the video with `lipstage fetch {arguments(key)} -o FILE.mp4`")
    elif dead_letter is not None:
        console.note(f"see why with `lipstage dlq show {dead_letter.id}`")
    elif not state.has_ended:
        from shared.cli import watching

        watching.note_stages_without_consumers(client, state.engine or None, state)


def cancel(key: JobKey, wait: bool, force: bool, max_events: int) -> ExitCode:
    """Cancel a job, and wait for its end where that is asked for and takes a service. Raises CliError, ClientError."""
    client = connect(store=False)  # Without the object store the command alone is sent.
    start = client.position(key.tenant)
    try:
        ended_now = client.cancel(key, force=force, max_events=max_events)
    except JobNotFound as e:
        e.hint = "check the id and --tenant; --force sends the command all the same"
        raise
    if ended_now is not None:
        console.say(f"job {key.job_id} is cancelled")
        return ExitCode.DONE
    if not wait:
        console.say(f"cancel of {key.job_id} sent")
        console.note(f"see its end with `lipstage watch {arguments(key)}`")
        # The job ends when a service takes its task.
        from shared.cli import watching

        watching.note_stages_without_consumers(client, None, JobState(key.job_id))
        return ExitCode.DONE
    try:
        ended = client.wait(key, start=start, timeout_s=CANCEL_WAIT_S)
    except WaitTimeout:
        raise CliError(
            f"cancel of {key.job_id} sent; the job has not ended after {CANCEL_WAIT_S:.0f} s",
            f"see its end with `lipstage watch {arguments(key)}`",
        ) from None
    if isinstance(ended, Failed) and ended.code == "CANCELLED":
        console.say(f"job {key.job_id} is cancelled")
        return ExitCode.DONE
    console.say(f"job {key.job_id} ended before the cancel arrived: {ended.type}")
    return ExitCode.FAILED


def fetch(key: JobKey, output: OutputFile, poster: bool, max_events: int) -> None:
    """Download the result of a finished job. Raises CliError, ClientError."""
    output.check()
    client = connect()
    client.raise_if_purged(key)
    terminal = client.terminal_event(key) or client.job(key, max_events=max_events).terminal_event
    if terminal is None:
        raise CliError(f"job {key.job_id} has not ended", f"wait for it with `lipstage watch {arguments(key)}`")
    if not isinstance(terminal, Done):
        raise CliError(f"job {key.job_id} has no video: {terminal.type}, {terminal.code}: {terminal.message}")
    with output.writing() as temporary:
        client.download(terminal.poster if poster else terminal.video, temporary)
    if not output.is_stdout:
        console.say(output.name)


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


def _batch(state: JobState) -> str:
    return f"{state.batch.id} {state.batch.index + 1}/{state.batch.total}" if state.batch else ""
