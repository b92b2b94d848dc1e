"""The report of a batch: one row for each job, as CSV or JSONL."""

import csv
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from shared.client.batches import BatchState
from shared.client.errors import InvalidRequest, TargetUnwritable
from shared.client.job_state import JobState
from shared.client.publishing import publish_over
from shared.messages.events import Done, Failed, RejectedEvent


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One job of a batch; what is not known, or does not apply, is None."""

    row: int | None
    """Its place in the manifest, counted from 1; rows with an id of their own have one, too."""
    job_id: str
    tenant: str
    status: str
    """As of `lipstage jobs`; refused: another request has the job id."""
    code: str | None
    """Why it was rejected or failed: a public code."""
    stage: str | None
    """Where it was rejected or failed."""
    message: str | None
    engine: str | None
    submitted: str | None
    """When its request was stored, UTC, ISO 8601."""
    seconds: float | None
    """From the request to the end."""
    audio_s: float | None
    face_s: float | None
    infer_s: float | None
    encode_s: float | None
    video_s: float | None
    """Length of the video, seconds."""
    video_bucket: str | None
    video_key: str | None
    video_bytes: int | None
    poster_key: str | None
    trace_id: str | None
    labels: str | None
    """JSON."""


NAMES = tuple(field.name for field in fields(ReportRow))


def rows(batch: BatchState) -> Iterator[ReportRow]:
    """A row for each known job, in the order of the manifest."""
    return map(_row, batch.ordered())


def _row(job: JobState) -> ReportRow:
    end = job.terminal_event if job.purged_ms is None else None
    done = end if isinstance(end, Done) else None
    bad = end if isinstance(end, RejectedEvent | Failed) else None
    submitted_ms = job.submitted_ms or job.first_ms
    seconds = {name: stage.seconds for name, stage in job.stages.items()} | (dict(done.seconds) if done else {})
    return ReportRow(
        row=job.batch.index + 1 if job.batch else None,
        job_id=job.job_id,
        tenant=job.tenant,
        status=job.status,
        code=str(bad.code) if bad else None,
        stage=bad.stage if bad else None,
        message=bad.message if bad else None,
        engine=job.engine or None,
        submitted=datetime.fromtimestamp(submitted_ms / 1000, UTC).isoformat() if submitted_ms else None,
        seconds=round(done.total_s, 3) if done else None,
        audio_s=seconds.get("audio"),
        face_s=seconds.get("face"),
        infer_s=seconds.get("infer"),
        encode_s=seconds.get("encode"),
        video_s=done.duration_s if done else None,
        video_bucket=done.video.bucket if done else None,
        video_key=done.video.key if done else None,
        video_bytes=done.video.size if done else None,
        poster_key=done.poster.key if done else None,
        trace_id=job.trace_id,
        labels=json.dumps(job.labels, ensure_ascii=False) if job.labels else None,
    )


def checked(path: Path) -> Path:
    """The path, if a report can be written there. Raises InvalidRequest, TargetUnwritable."""
    if path.suffix.lower() not in WRITERS:
        raise InvalidRequest(
            f"the report {path} is of no known format", f"name it {', '.join(f'*{s}' for s in WRITERS)}"
        )
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise TargetUnwritable(
            f"the report {path} can't be written: {path.absolute().parent} is no folder, or {path} is"
        )
    return path


def write(path: Path, batch: BatchState) -> None:
    """Write the report; the file appears, or is replaced, when it is whole. Raises as ``checked``."""
    checked(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            WRITERS[path.suffix.lower()](file, rows(batch))
        publish_over(temporary, path)
    except OSError as e:
        raise TargetUnwritable(f"the report {path} can't be written: {e.strerror or e}") from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def _write_csv(file: TextIO, found: Iterator[ReportRow]) -> None:
    writer = csv.DictWriter(file, NAMES)
    writer.writeheader()
    for row in found:
        # A cell that begins like a formula would be one in a spreadsheet; messages repeat what users wrote.
        writer.writerow({name: _cell(value) for name, value in asdict(row).items()})


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" else value


def _write_jsonl(file: TextIO, found: Iterator[ReportRow]) -> None:
    for row in found:
        file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")


WRITERS: dict[str, Callable[[TextIO, Iterator[ReportRow]], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".ndjson": _write_jsonl,
}
"""By the suffix of the file."""
