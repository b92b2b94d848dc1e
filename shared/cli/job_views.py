"""What watch, jobs, job and fetch do, once their options are read."""

import time
from pathlib import Path

from shared.cli import console, history, outcome
from shared.cli.connection import connect
from shared.cli.errors import CliError, ExitCode
from shared.cli.events import Job
from shared.cli.job_state import JobState
from shared.cli.local_files import writable_target
from shared.cli.order import checked_job_id
from shared.cli.printable import flat
from shared.cli.waiting import wait
from shared.messages.events import TERMINAL_TYPES, AnyEvent, Done


def watch(job_id: str, tenant: str, timeout_s: float | None, scan: int, as_json: bool) -> ExitCode:
    """Show a job's events, those of the past included, until it ends. Raises CliError."""
    job = Job(tenant, checked_job_id(job_id))
    to = connect()
    past, start = history.past(to, job, scan)
    if not any(event.type in TERMINAL_TYPES for event in past):
        end = history.stored_end(to, job)
        if end is not None:
            # Its events have been deleted by now; the store still knows.
            console.emit_json(outcome.as_json(end)) if as_json else outcome.report(end)
            return outcome.exit_code(end)
        if not past:
            console.note(f"nothing is known of {job_id} yet; waiting")

    def emit(event: AnyEvent) -> None:
        console.emit_json(event.model_dump(mode="json", exclude_none=True))

    ended = wait(to, job, start, past=past, timeout_s=timeout_s, each=emit if as_json else None)
    if not as_json:
        outcome.report(ended)
    return outcome.exit_code(ended)


def list_jobs(limit: int, scan: int, as_json: bool, tenant: str | None = None) -> None:
    """Print the newest jobs, of every tenant or of one. Raises CliError."""
    found = history.recent(connect(), scan, tenant)[:limit]
    if as_json:
        for job in found:
            console.emit_json(job.as_json())
        return
    if not found:
        console.note("no jobs yet")
        return
    console.table(
        ("JOB", "STATUS", "TENANT", "STAGE", "ENGINE", "VIDEO", "TIME", "STARTED"),
        [
            (
                j.job_id,
                _status(j),
                j.tenant,
                j.current or "-",
                j.engine or "-",
                _length(j),
                _spent(j),
                _when(j.first_ms),
            )
            for j in found
        ],
    )


def show(job_id: str, tenant: str, scan: int, as_json: bool) -> None:
    """Print one job. Raises CliError."""
    job = history.looked_up(connect(), Job(tenant, checked_job_id(job_id)), scan)
    if as_json:
        console.emit_json(job.as_json())
        return
    rows = [
        ("job", job.job_id),
        ("tenant", job.tenant),
        ("status", _status(job)),
        ("engine", job.engine or "-"),
        ("started", _when(job.first_ms)),
        ("trace", job.trace_id or "-"),
    ]
    rows += [("batch", job.batch)] if job.batch else []
    rows += [("label", flat(f"{name}={value}")) for name, value in job.labels.items()]
    rows += [(name, _stage_text(job, name)) for name in job.stages]
    rows += [("warning", flat(f"{code}: {message}")) for code, message in job.warnings]
    for name, text in rows:
        console.say(f"{name:<9}{text}")
    if isinstance(job.end, Done):
        for line in outcome.summary(job.end, None):
            if line.split()[0] in ("video", "format", "render", "drift", "duration"):
                console.say(line)
    elif job.waiting is not None:
        console.say(f"{'reason':<9}{job.waiting.code} in {job.waiting.stage}: {flat(job.waiting.message)}")
    elif job.end is not None:
        console.say(f"{'reason':<9}{job.end.code} in {job.end.stage}: {flat(job.end.message)}")


def fetch(job_id: str, target: Path, poster: bool, tenant: str, scan: int) -> None:
    """Download what a finished job made. Raises CliError when it made nothing, or is not finished."""
    job = Job(tenant, checked_job_id(job_id))
    writable_target(target)
    to = connect()
    end = history.stored_end(to, job) or history.looked_up(to, job, scan).end
    if end is None:
        raise CliError(f"job {job_id} is not finished", f"wait for it with `lipstage watch {job.arguments}`")
    if not isinstance(end, Done):
        raise CliError(f"job {job_id} has no video: {end.type}, {end.code}: {end.message}")
    outcome.download(to, end.poster if poster else end.video, target)
    console.say(str(target))


def _status(job: JobState) -> str:
    if job.waiting is not None:
        return f"{job.status} {job.waiting.code}"
    return f"{job.status} {job.end.code}" if job.status in ("rejected", "failed") and job.end else job.status  # type: ignore[union-attr]


def _length(job: JobState) -> str:
    return f"{job.end.duration_s:.2f} s" if isinstance(job.end, Done) else "-"


def _spent(job: JobState) -> str:
    spent = job.end.total_s if isinstance(job.end, Done) else (job.last_ms - job.first_ms) / 1000
    return console.seconds(spent)


def _when(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ms / 1000)) if ms else "-"


def _stage_text(job: JobState, name: str) -> str:
    stage = job.stages[name]
    if stage.state == "finished":
        time_text = "" if stage.seconds is None else f" in {console.seconds(stage.seconds)}"
        return f"finished{time_text}{', from the cache' if stage.cached else ''}"
    if stage.waits:
        return f"waiting: {stage.waits}"
    if stage.state == "running":
        return f"{stage.percent:.0f} %" + (f", attempt {stage.attempt}" if stage.attempt > 1 else "")
    return "waiting" if job.end is None else "not reached"
