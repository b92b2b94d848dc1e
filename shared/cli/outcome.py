"""How a job ended, for a person or a script: the file fetched, the figures, or what was wrong and what helps."""

import os
import tempfile
from pathlib import Path
from typing import Any

from shared.cli import console
from shared.cli.connection import Connection
from shared.cli.errors import CliError, ExitCode, Unreachable, advice
from shared.cli.events import Job
from shared.messages.codes import Code
from shared.messages.events import Done, RejectedEvent, TerminalEvent
from shared.messages.refs import ArtifactRef
from shared.storage.errors import ArtifactAltered, ArtifactMissing, ArtifactRefused, StoreUnavailable


def download(connection: Connection, ref: ArtifactRef, target: Path) -> None:
    """Fetch an artifact, verified; ``target`` appears whole or not at all.

    Raises CliError when it is gone or altered or the disk does not take it, Unreachable when the store is away.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".lipstage-", dir=target.parent)
    except OSError as e:
        raise CliError(f"{target} can't be written: {e.strerror}") from None
    os.close(handle)
    temporary = Path(name)
    try:
        connection.artifacts.get(ref, temporary)
        # mkstemp makes files for the owner alone; a result is as readable as any other new file.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except (ArtifactMissing, ArtifactAltered) as e:
        raise CliError(
            f"the video is not to be had any more: {e}", "it may have been purged; render it again"
        ) from None
    except ArtifactRefused as e:
        raise CliError(f"the video can't be fetched: {e}", advice(e.code)) from None
    except KeyError:
        raise CliError(
            f"the video lies in the bucket {ref.bucket!r}, which is not configured here", "set LIPSTAGE_OUTPUT_BUCKETS"
        ) from None
    except StoreUnavailable as e:
        raise Unreachable(str(e)) from None
    except OSError as e:
        raise CliError(f"{target} can't be written: {e.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    """The process's mask; the only way to read it is to set it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def exit_code(event: TerminalEvent) -> ExitCode:
    """Of a command that waited for this end."""
    match event:
        case Done():
            return ExitCode.DONE
        case RejectedEvent():
            return ExitCode.REJECTED
        case _:
            return ExitCode.FAILED


def as_json(event: TerminalEvent, target: Path | None = None) -> dict[str, Any]:
    """The end event with the local file, for scripts."""
    found: dict[str, Any] = event.model_dump(mode="json", exclude_none=True)
    return found | ({"file": str(target)} if target else {})


def report(event: TerminalEvent, target: Path | None = None) -> None:
    """Print the summary of a done job, or the reason of one that was not."""
    if isinstance(event, Done):
        for line in summary(event, target):
            console.say(line)
        return
    helps = [f"field: {event.field}"] if isinstance(event, RejectedEvent) and event.field else []
    if isinstance(event, RejectedEvent) and event.allowed:
        helps.append(f"allowed: {event.allowed}")
    if event.code == Code.INTERNAL:
        helps.append(f"`lipstage trace {Job(event.tenant, event.job_id).arguments}` shows where it happened.")
    elif told := advice(event.code):
        helps.append(told)
    console.error(f"{event.type} in {event.stage}, {event.code}: {event.message}", f"job {event.job_id}", helps)


def summary(event: Done, target: Path | None) -> list[str]:
    """Job, times and drifts, one aligned line each."""
    stages = ", ".join(f"{name} {console.seconds(value)}" for name, value in event.seconds.items())
    ratio = event.duration_s / event.total_s if event.total_s else 0.0
    lips = "not measured" if event.lip_offset_ms is None else f"{event.lip_offset_ms:+.0f} ms"
    rows = [
        ("video", str(target) if target else f"{event.video.bucket}/{event.video.key}"),
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
    rows += [("warning", f"{w.code}: {w.message}") for w in event.warnings]
    return [f"{name:<9}{text}" for name, text in rows]
