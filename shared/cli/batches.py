"""watch, fetch, cancel and erase of a batch."""

import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

from shared.cli import console, erase_report, watching
from shared.cli.connection import connect
from shared.cli.erase import vacuum
from shared.cli.errors import CliError, ExitCode
from shared.cli.failures import batch_arguments
from shared.cli.printable import clean
from shared.client import (
    BatchState,
    JobConflict,
    JobNotFinished,
    JobPurged,
    JobState,
    Purged,
    WaitTimeout,
    batch_report,
)
from shared.client.job_state import REFUSED
from shared.client.purged_objects import Count
from shared.messages.events import AnyEvent, Done, Failed, RejectedEvent

TENTHS = 10
"""Off a terminal a line is printed at every tenth of the batch."""


def watch(
    batch_id: str, tenant: str, timeout_s: float | None, max_events: int, as_json: bool, report: Path | None = None
) -> ExitCode:
    """Show the progress of a batch until all its jobs have ended; DONE when every one is done.

    ``report`` is a file for a row of each job, also when watching ends early.

    Raises CliError, ClientError.
    """
    if report is not None:
        batch_report.checked(report)
    client = connect()
    batch = client.batch_state(batch_id, tenant=tenant, max_events=max_events)
    _note_limits(batch)
    if not batch.has_ended:
        for engine in sorted({job.engine for job in batch.jobs.values() if job.engine and not job.has_ended} or {""}):
            watching.note_stages_without_consumers(client, engine or None, JobState(""))
    try:
        with _Progress(batch, quiet=as_json) as shown:
            for event, _ in client.follow_batch(batch, timeout_s=timeout_s):
                if as_json and event is not None:
                    console.emit_json(event.model_dump(mode="json", exclude_none=True))
                shown.show(event)
    except WaitTimeout as e:
        raise CliError(
            e.message, f"look again with `lipstage watch {batch_arguments(batch.batch_id, batch.tenant)}`"
        ) from None
    finally:
        if report is not None:
            batch_report.write(report, batch)
            console.note(f"report of {len(batch.jobs)} jobs: {report}")
    console.emit_json(batch.as_json()) if as_json else _report(batch)
    complete = batch.counts.get("done", 0) == max(batch.total, len(batch.jobs))
    return ExitCode.DONE if complete else ExitCode.FAILED


def fetch(
    batch_id: str, tenant: str, folder: Path, poster: bool, label: str | None, force: bool, max_events: int
) -> ExitCode:
    """Download the results of a batch; DONE when every job has one. Raises CliError, ClientError."""
    if folder.exists() and not folder.is_dir():
        raise CliError(f"{folder} is not a directory", "name a folder with -o", exit_code=ExitCode.REJECTED)
    client = connect()
    batch = client.batch_state(batch_id, tenant=tenant, max_events=max_events)
    _note_limits(batch)
    results = Counter[str]()
    for file in client.fetch_batch(batch, folder, poster=poster, label=label, force=force):
        if file.error is not None:
            results["unavailable"] += 1
            console.note(f"job {file.job.job_id}: {file.error.message}")
        else:
            results["present" if file.was_present else "fetched"] += 1
            console.say(str(file.path))
    running = sum(not job.has_ended for job in batch.jobs.values())
    no_video = batch.ended - sum(results.values())
    parts = [(results["fetched"], "fetched"), (results["present"], "already there"), (running, "not finished")]
    parts += [(no_video, "without a video"), (results["unavailable"], "unavailable"), (batch.missing, "not known")]
    console.note(", ".join(f"{number} {text}" for number, text in parts if number) or "no job is done")
    if running:
        console.note(
            f"run the same command again after `lipstage watch {batch_arguments(batch.batch_id, batch.tenant)}`"
        )
    return ExitCode.DONE if results["fetched"] + results["present"] == batch.total else ExitCode.FAILED


def cancel(batch_id: str, tenant: str, max_events: int) -> ExitCode:
    """Cancel the jobs of a batch that have not ended. Raises CliError, ClientError."""
    client = connect()
    batch = client.batch_state(batch_id, tenant=tenant, max_events=max_events)
    _note_limits(batch)
    cancelled = client.cancel_batch(batch)
    refused = batch.counts.get(REFUSED, 0)
    if refused:
        console.note(_refused(refused))
    if not cancelled:
        raise CliError(f"every job of the batch {batch_id} has ended already", exit_code=ExitCode.REJECTED)
    console.say(f"{len(cancelled)} of {len(batch.jobs)} jobs cancelled")
    return ExitCode.DONE


def erase(batch_id: str, tenant: str, cancel: bool, dry_run: bool, max_events: int, as_json: bool) -> ExitCode:
    """Erase every job of a batch; FAILED when one was not erased. Raises CliError, ClientError."""
    client = connect()
    batch = client.batch_state(batch_id, tenant=tenant, max_events=max_events)
    _note_limits(batch)
    if dry_run:
        running = sum(not job.has_ended for job in batch.jobs.values())
        counts = {"dry_run": True, "batch": batch_id, "tenant": tenant, "jobs": len(batch.jobs), "not_ended": running}
        text = f"{len(batch.jobs)} jobs of the batch {batch_id} would be erased; {running} of them have not ended"
        console.emit_json(counts) if as_json else console.say(text)
        return ExitCode.DONE
    deleted, numbers, last = Count(), Counter[str](), list[Purged]()
    dead_letters: list[str] = []
    for result in client.purge_batch(batch, force=cancel):
        match result.error:
            case None:
                numbers["purged"] += 1
            case JobNotFinished():
                numbers["not_finished"] += 1
            case JobPurged():
                numbers["before"] += 1
            case JobConflict():
                numbers["refused"] += 1
            case error:
                numbers["failed"] += 1
                console.note(f"job {result.job.job_id}: {error.message}")
        if result.purged is None:
            continue
        last = [result.purged]
        dead_letters += result.purged.dead_letters
        for count in result.purged.deleted.values():
            deleted.objects, deleted.bytes = deleted.objects + count.objects, deleted.bytes + count.bytes
    if not (numbers["purged"] or numbers["not_finished"] or numbers["failed"]):
        text = "no job of the batch is left to erase: " + _refused(numbers["refused"])
        text = text if numbers["refused"] else f"every job of the batch {batch_id} has been purged"
        raise CliError(text, exit_code=ExitCode.REJECTED)
    if as_json:
        counts = {name: numbers[name] for name in ("purged", "not_finished", "refused", "failed")}
        counts |= {"objects": deleted.objects, "bytes": deleted.bytes}
        until = last[0].records_until if last else {}
        console.emit_json({"batch": batch_id, "tenant": tenant, **counts, "records_until": until})
    else:
        console.say(f"{numbers['purged']} jobs of the batch {batch_id} erased, {deleted.objects} objects deleted")
        if last:
            erase_report.staying(last[0], dead_letters)
    if numbers["refused"]:
        console.note(_refused(numbers["refused"]))
    if numbers["not_finished"]:
        console.note(f"{numbers['not_finished']} jobs have not ended: cancel the batch first, or use --cancel")
    vacuum(client)
    return ExitCode.FAILED if numbers["not_finished"] or numbers["failed"] else ExitCode.DONE


def _refused(rows: int) -> str:
    return f"{rows} rows were refused: other requests have their job ids; those jobs are left alone"


class _Progress:
    """One bar for the batch on a terminal, else a line at every tenth; failures always get a line."""

    def __init__(self, batch: BatchState, *, quiet: bool) -> None:
        self._batch = batch
        self._quiet = quiet
        self._started, self._ended_before = time.monotonic(), batch.ended
        self._tenth = self._tenths()
        self._bar = None
        if console.on_terminal() and not quiet:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            self._bar = Progress(
                BarColumn(bar_width=10, complete_style="cyan", finished_style="green"),
                TextColumn("{task.fields[note]}", markup=False),
                console=Console(stderr=True, highlight=False),
                refresh_per_second=4,
            )
            self._task = self._bar.add_task("", total=self._total, completed=batch.ended, note=self._short())

    @property
    def _total(self) -> int:
        return max(self._batch.total, len(self._batch.jobs))

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        elif not self._quiet:
            console.note(self._text())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, event: AnyEvent | None) -> None:
        """Show the state after an event."""
        if self._quiet:
            return
        if isinstance(event, RejectedEvent | Failed):
            # Through the bar's console, which keeps the bar below it.
            text = f"job {event.job_id}: {event.type}, {event.code}"
            self._bar.console.print(clean(text), markup=False) if self._bar is not None else console.note(text)
        if self._bar is not None:
            self._bar.update(self._task, total=self._total, completed=self._batch.ended, note=self._short())
        elif self._tenths() > self._tenth:
            self._tenth = self._tenths()
            console.note(self._text())

    def _tenths(self) -> int:
        return self._batch.ended * TENTHS // max(1, self._total)

    def _text(self) -> str:
        counts = ", ".join(f"{number} {status}" for status, number in self._batch.counts.items())
        return f"{self._batch.ended} of {self._total}: {counts}{self._remaining()}"

    def _short(self) -> str:
        """What fits beside a bar in 60 columns."""
        counts = self._batch.counts
        running = sum(counts.get(status, 0) for status in ("running", "waiting"))
        without = sum(counts.get(status, 0) for status in ("rejected", "failed", REFUSED))
        stopped = sum(counts.get(status, 0) for status in ("cancelled", "purged"))
        parts = [f"{self._batch.ended}/{self._total}", f"{running} running" if running else ""]
        parts += [f"{without} failed" if without else "", f"{stopped} cancelled" if stopped else ""]
        return ", ".join(part for part in parts if part) + self._remaining()

    def _remaining(self) -> str:
        """The time that the rest takes at the pace since watching began."""
        ended, left = self._batch.ended - self._ended_before, self._total - self._batch.ended
        if ended < 1 or left < 1:
            return ""
        return f", {console.seconds((time.monotonic() - self._started) / ended * left)} left"


def _report(batch: BatchState) -> None:
    counts = ", ".join(f"{number} {status}" for status, number in batch.counts.items())
    console.say(f"batch {batch.batch_id}: {counts}")
    for job in batch.ordered():
        terminal = job.terminal_event
        if terminal is not None and not isinstance(terminal, Done) and job.purged_ms is None:
            console.say(f"  {job.job_id}  {job.status} {terminal.code}")
        elif job.status == REFUSED:
            console.say(f"  {job.job_id}  refused: another request has this job id")
    if batch.missing:
        console.note(f"{batch.missing} of {batch.total} jobs of the manifest are not known: submit the batch again")
    if batch.counts.get("done"):
        console.note(
            f"fetch the videos with `lipstage fetch {batch_arguments(batch.batch_id, batch.tenant)} -o FOLDER`"
        )


def _note_limits(batch: BatchState) -> None:
    if batch.cut:
        console.note("older requests or events were not read: jobs may be missing; raise --scan to read more")
    if batch.missing and not batch.cut:
        console.note(f"{batch.missing} of {batch.total} jobs of the manifest have not been submitted")
