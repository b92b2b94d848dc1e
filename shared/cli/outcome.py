"""How a job ended, for a person or a script: the figures, or what was wrong and what helps."""

from typing import Any

from shared.cli import columns, console
from shared.cli.errors import ExitCode, advice
from shared.cli.failures import arguments
from shared.cli.output_file import OutputFile
from shared.client import JobKey
from shared.messages.codes import Code
from shared.messages.events import Done, RejectedEvent, TerminalEvent


def exit_code(event: TerminalEvent) -> ExitCode:
    """Of a command that waited for this event."""
    match event:
        case Done():
            return ExitCode.DONE
        case RejectedEvent():
            return ExitCode.REJECTED
        case _:
            return ExitCode.FAILED


def as_json(event: TerminalEvent, output: OutputFile | None = None) -> dict[str, Any]:
    """The terminal event, with the local file of a video that was written, for scripts."""
    fields: dict[str, Any] = event.model_dump(mode="json", exclude_none=True)
    return fields | ({"file": output.name} if output and isinstance(event, Done) else {})


def report(event: TerminalEvent, output: OutputFile | None = None) -> None:
    """Print the summary of a done job, on stderr when the video is on stdout, or the reason of one that is not."""
    if isinstance(event, Done):
        columns.fields(summary(event, output), err=output is not None and output.is_stdout)
        return
    details = [f"field: {event.field}"] if isinstance(event, RejectedEvent) and event.field else []
    if isinstance(event, RejectedEvent) and event.allowed:
        details.append(f"allowed: {event.allowed}")
    if event.code == Code.INTERNAL and event.sampled:
        job = JobKey(event.tenant, event.job_id)
        details.append(f"`lipstage trace {arguments(job)}` shows where it happened.")
    elif text := advice(event.code):
        details.append(text)
    console.error(f"{event.type} in {event.stage}, {event.code}: {event.message}", f"job {event.job_id}", details)


def summary(event: Done, output: OutputFile | None) -> list[tuple[str, str]]:
    """Job, times and drifts: names and texts."""
    stages = ", ".join(f"{name} {console.seconds(value)}" for name, value in event.seconds.items())
    ratio = event.duration_s / event.total_s if event.total_s else 0.0
    lips = "not measured" if event.lip_offset_ms is None else f"{event.lip_offset_ms:+.0f} ms"
    place = output.name if output else f"{event.video.bucket}/{event.video.key}"
    rows = [
        ("video", "stdout" if output and output.is_stdout else place),
        (
            "format",
            f"{event.width}x{event.height}, {event.fps} frames/s, {event.duration_s:.2f} s, engine {event.engine}",
        ),
        ("job", event.job_id),
        ("stages", stages),
        ("render", f"{console.seconds(event.total_s)} for {event.duration_s:.2f} s of video ({ratio:.2f} x real time)"),
        ("drift", f"{event.audio_drift_ms} ms (container {event.container_drift_ms:+.1f} ms, lips {lips})"),
    ]
    if event.quality is not None:
        rows.append(("quality", f"{event.quality:.2f} of 1"))
    if event.duration_asked_s is not None:
        rows.append(
            ("duration", f"{event.duration_asked_s:g} s asked, {event.duration_gap_ms:+d} ms off the true length")
        )
    return rows + [("warning", f"{w.code}: {w.message}") for w in event.warnings]
