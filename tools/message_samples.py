"""Writes the samples of messages into docs/messages.md: ``python -m tools.message_samples [--check]``.

The samples are made by the models and by the functions that write the records.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from shared.messages.codes import Code, Rejected
from shared.messages.events import (
    Accepted,
    AnyEvent,
    Conflict,
    DeadLetterRef,
    Done,
    Failed,
    Finished,
    Progress,
    Purged,
    RejectedEvent,
    Replayed,
    Retrying,
    Started,
    Waiting,
    WarningGiven,
)
from shared.messages.headers import DLQ, Header, event_headers
from shared.messages.refs import ArtifactRef
from shared.messages.request import Batch
from shared.messages.topics import DLQ as DEAD_LETTERS
from shared.messages.validation import parse_request
from shared.runtime.consume.assignment import Record
from shared.runtime.disposition import FailureReason, JobContext
from shared.runtime.settle.dead_letters import dead_letter_headers
from shared.runtime.settle.explanations import for_user
from stages.audio.duration import correction, resolve_duration
from tools.generated_page import write

PAGE = Path(__file__).resolve().parents[1] / "docs" / "messages.md"
EVENTS = ("<!-- event samples: generated -->", "<!-- end of event samples -->")
DEAD_LETTER = ("<!-- dead letter sample: generated -->", "<!-- end of dead letter sample -->")
JOB, REQUEST_ID, TRACE = "clip-0042", "9b2f2b0e-7c55-5f0c-8b38-0a3a6f4a7d11", "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
START_MS = 1_795_478_400_000
PICTURE = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"
VIDEO = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
SPEECH_S, ASKED_S = 9.52, 9.0
"""The speech of the samples, and the duration that its request asks for."""
LETTER = DeadLetterRef(topic=DEAD_LETTERS, partition=2, offset=17)
POISON = FailureReason(
    Code.POISON, "poison", "the record is not a valid task: submitted_ms is required", "InvalidRecord"
)


def _refused() -> Rejected:
    """How the front refuses a request with a value out of range."""
    inputs = {"portrait": {"key": "acme/me.png"}, "speech": {"key": "acme/me.wav"}}
    try:
        parse_request(json.dumps(inputs | {"params": {"inference_steps": 250}}).encode())
    except Rejected as error:
        return error
    raise AssertionError("250 steps are accepted")


def samples() -> list[tuple[str, AnyEvent]]:
    """One event of every type, and of the ends that share a type, each with a sentence about it."""
    at = {"job_id": JOB, "tenant": "acme", "request_id": REQUEST_ID, "trace_id": TRACE}
    batch = {"batch": Batch(id="spring", index=41, total=100), "labels": {"scene": "12"}}

    refused = _refused()

    def ms(seconds: float) -> int:
        return START_MS + round(seconds * 1000)

    return [
        (
            "The request is valid. Every event echoes `batch` and `labels` of the request; the samples below leave "
            "them out.",
            Accepted(**at, **batch, time_ms=ms(0.0), engine="puppet"),
        ),
        ("A stage starts.", Started(**at, time_ms=ms(0.1), stage="audio")),
        (
            "A stage starts again, because its worker process died: the attempt is 2. There are at most "
            "`LIPSTAGE_MAX_ATTEMPTS`.",
            Started(**at, time_ms=ms(0.9), stage="audio", attempt=2),
        ),
        (
            "A warning for the user. The job continues.",
            WarningGiven(
                **at,
                time_ms=ms(1.2),
                stage="audio",
                code=Code.DURATION_CORRECTED,
                message=correction(resolve_duration(SPEECH_S, ASKED_S, trim=False), ASKED_S, SPEECH_S),
            ),
        ),
        (
            "A stage is complete; `seconds` is the wall time of its attempt, `cached` whether an earlier job's output "
            "was used.",
            Finished(**at, time_ms=ms(1.2), stage="audio", seconds=0.412),
        ),
        (
            "Progress, at most two a second. The unit is frames in infer and encode.",
            Progress(**at, time_ms=ms(4.0), stage="infer", percent=42.0, done=100, total=238),
        ),
        (
            "A stage waits by itself; nobody has to act on the job. The next event of the job ends the wait.",
            Waiting(
                **at,
                time_ms=ms(5.0),
                stage="infer",
                code=Code.STORE_UNAVAILABLE,
                message="storing an artifact: the object store answered 503 SlowDown",
            ),
        ),
        (
            "An attempt failed, and the stage makes the next one by itself: the record waits on the retry topic of "
            "`tier` until `due_ms`. Nobody has to act on the job.",
            Retrying(
                **at,
                time_ms=ms(25.0),
                stage="infer",
                code=Code.STORE_UNAVAILABLE,
                message="storing an artifact: the object store answered 503 SlowDown",
                tier="10s",
                due_ms=ms(35.0),
                next_attempt=2,
            ),
        ),
        (
            "The video is ready. The job has ended.",
            Done(
                **at,
                time_ms=ms(8.1),
                video=ArtifactRef(key=f"jobs/acme/{JOB}/encode/5c1d/video.mp4", sha256=VIDEO, size=640_000),
                poster=ArtifactRef(key=f"jobs/acme/{JOB}/encode/5c1d/poster.jpg", sha256=PICTURE, size=48_211),
                duration_s=SPEECH_S,
                width=768,
                height=768,
                fps=25,
                engine="puppet",
                duration_asked_s=ASKED_S,
                duration_gap_ms=resolve_duration(SPEECH_S, ASKED_S, trim=False).gap_ms,
                container_drift_ms=0.5,
                lip_offset_ms=-12.0,
                audio_drift_ms=12,
                quality=0.81,
                seconds={"audio": 0.412, "face": 0.9, "infer": 4.25, "encode": 2.0},
                total_s=8.1,
            ),
        ),
        (
            "The request or a file of the user can't be rendered. The job has ended; the record is not dead-lettered.",
            RejectedEvent(
                **at,
                time_ms=ms(0.2),
                stage="audio",
                code=refused.code,
                message=refused.message,
                field=refused.field,
                allowed=refused.allowed,
            ),
        ),
        (
            "The render failed. The job has ended; `dead_letter` names its record on `render.dlq`.",
            Failed(
                **at,
                time_ms=ms(1.5),
                stage="face",
                code=Code.POISON,
                message=for_user(POISON, "face", LETTER),
                dead_letter=LETTER,
            ),
        ),
        (
            "An operator sent the dead letter back: the job continues. The client that does so publishes this event, "
            "and all later events of the job have its `replays` or a higher one.",
            Replayed(**at, time_ms=ms(600.0), replays=1, stage="face", dead_letter=LETTER),
        ),
        (
            "The job was cancelled: a `failed` event with this code, without a dead-letter record.",
            Failed(**at, time_ms=ms(3.0), stage="infer", code=Code.CANCELLED, message="The job was cancelled."),
        ),
        (
            "Another request uses the id of this job. `request_id` names the refused request; the job continues.",
            Conflict(
                **at | {"request_id": "41c9bd3e-2f0b-5d5e-9d6b-6f2b5f1d0c77"},
                time_ms=ms(2.0),
                message="Another request has this job id; send this request with another id.",
            ),
        ),
        (
            "Everything stored of the job was deleted, after its end. The client that purged it publishes this event.",
            Purged(**at, time_ms=ms(900.0)),
        ),
    ]


def events_text() -> str:
    """The text between the markers of the events."""
    parts = [
        "\nGenerated by `python -m tools.message_samples`: the value of each record, and its `ce_id`. "
        "The messages are examples: their wording may change. Programs read `code`, `field` and `allowed`.\n"
    ]
    for sentence, event in samples():
        body = json.dumps(event.model_dump(mode="json", exclude_none=True, exclude_defaults=False), indent=2)
        event_id = dict(event_headers(event))["ce_id"].decode()
        parts.append(f"\n`{event.type}`, `ce_id: {event_id}`. {sentence}\n\n```json\n{body}\n```\n")
    return "".join(parts)


def dead_letter() -> Mapping[str, str]:
    """The headers of a dead-letter record by name."""
    headers: list[Header] = [("ce_id", f"acme/{JOB}:face".encode()), ("traceparent", TRACEPARENT.encode())]
    record = Record("render.face", 3, 1041, JOB.encode(), b"{}", headers, START_MS + 1400)
    job = JobContext(JOB, "acme", REQUEST_ID, None, {})
    added = dead_letter_headers(
        record, POISON, stage="face", group="lipstage.face", attempts=1, job=job, department="film"
    )
    values = {name: (value or b"").decode() for name, value in added}
    # What differs from run to run, and the context, which exists in a span only.
    return values | {
        f"{DLQ}host": "face-6d9f7c",
        f"{DLQ}version": "0.3.0",
        f"{DLQ}timestamp": str(START_MS + 1500),
        f"{DLQ}traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
    }


MEANINGS = {
    "topic": "where the record was read",
    "partition": "its partition there",
    "offset": "its offset there",
    "group": "the consumer group that read it",
    "delivery.count": "attempts at the task",
    "message": "what is wrong, and what an operator checks next",
    "class": "`poison`, `crash_loop` or `failed`",
    "code": "the public code, as in the `failed` event",
    "exception.class": "class of the exception",
    "exception.stacktrace": "its stack, at most 8 KiB; empty where the record itself is at fault",
    "stage": "the stage that dead-lettered it",
    "host": "the machine or pod of the stage",
    "version": "the version of lipstage",
    "timestamp": "when it was dead-lettered, milliseconds since the epoch",
    "original.timestamp": "timestamp of the record, milliseconds since the epoch",
    "traceparent": "the span that failed; the record keeps its own `traceparent`",
    "replay.count": "how often the job had been replayed from a dead letter",
    "job": "the job; empty where the record names none",
    "tenant": "its tenant",
    "department": "its department; empty where the request names none, or the record can't be read",
    "value.key": "where the value is over 64 KiB: its key in the artifact bucket; the record then has no value",
    "value.sha256": "SHA-256 of that value",
    "value.size": "size of that value, bytes",
    "omitted": "parts of the record that are lost, because it was too large for the topic: `value, headers, key`",
}


def dead_letter_text() -> str:
    """The text between the markers of the dead letter."""
    rows = []
    for name, value in dead_letter().items():
        own = name.startswith(DLQ)
        meaning = MEANINGS[name.removeprefix(DLQ)] if own else "of the record itself, unchanged"
        rows.append(f"| `{name}` | {f'`{value}`' if value else '(empty)'} | {meaning} |\n")
    head = "\nGenerated by `python -m tools.message_samples`.\n\n| header | sample | meaning |\n| --- | --- | --- |\n"
    return head + "".join(rows)


def updated(page: str) -> str:
    """The page with its samples replaced. Raises ValueError when a marker is missing."""
    for (start, end), text in ((EVENTS, events_text()), (DEAD_LETTER, dead_letter_text())):
        before, found, rest = page.partition(start)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"{PAGE.name} has no markers {start} and {end}")
        page = f"{before}{start}\n{text}\n{end}{after}"
    return page


if __name__ == "__main__":
    sys.exit(write(PAGE, updated(PAGE.read_text())))
