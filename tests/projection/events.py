"""Lives of jobs, as events that hypothesis generates."""

from typing import Any

from hypothesis import strategies as st

from shared.messages.events import EVENT, AnyEvent
from shared.messages.pipeline import STAGES

CODES = st.sampled_from(["INTERNAL", "STORE_UNAVAILABLE", "NO_SPACE", "CANCELLED", "NO_FACE"])
STAGE = st.sampled_from(STAGES)
REF = {"key": "jobs/default/j/encode/a1/video.mp4", "sha256": "0" * 64, "size": 3, "media_type": "video/mp4"}
DONE = {
    "video": REF,
    "poster": REF | {"media_type": "image/jpeg"},
    "duration_s": 4.0,
    "width": 512,
    "height": 512,
    "fps": 25,
    "engine": "puppet",
    "container_drift_ms": 1.0,
    "audio_drift_ms": 1,
    "seconds": {"audio": 0.5, "infer": 2.0},
    "total_s": 3.5,
}


def event(kind: str, **fields: Any) -> AnyEvent:
    base = {"type": kind, "job_id": "j", "tenant": "default", "request_id": "r", "time_ms": 1000}
    return EVENT.validate_python(base | fields)


def _of(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[AnyEvent]:
    return st.fixed_dictionaries(
        {
            "time_ms": st.integers(1, 10_000),
            "attempt": st.integers(1, 3),
            "replays": st.sampled_from([0, 0, 0, 1, 2]),
            "trace_id": st.sampled_from([None, "a" * 32, "b" * 32]),
            "labels": st.sampled_from([{}, {"name": "anna"}]),
            "batch": st.sampled_from([None, {"id": "b", "index": 0, "total": 2}]),
            **fields,
        }
    ).map(lambda values: event(kind, **values))


TERMINALS = st.one_of(
    _of("done", **{name: st.just(value) for name, value in DONE.items()}),
    _of("rejected", stage=STAGE, code=CODES, message=st.just("m")),
    _of("failed", stage=STAGE, code=CODES, message=st.just("m")),
)
EVENTS = st.one_of(
    _of("accepted", engine=st.sampled_from(["puppet", "sonic"])),
    _of("started", stage=STAGE),
    _of("progress", stage=STAGE, percent=st.integers(0, 100), done=st.integers(0, 9), total=st.just(10)),
    _of("finished", stage=STAGE, seconds=st.sampled_from([0.5, 2.0]), cached=st.booleans()),
    _of("warning", stage=STAGE, code=CODES, message=st.sampled_from(["m", "n"])),
    _of("waiting", stage=STAGE, code=CODES, message=st.just("m")),
    _of(
        "retrying",
        stage=STAGE,
        code=CODES,
        message=st.just("m"),
        tier=st.just("10s"),
        due_ms=st.integers(1, 99),
        next_attempt=st.integers(2, 4),
    ),
    _of("replayed", stage=STAGE, dead_letter=st.just({"topic": "render.dlq", "partition": 0, "offset": 7})),
    _of("conflict", message=st.just("m"), request_id=st.sampled_from(["r2", "r3"])),
    _of("purged"),
    TERMINALS,
)
