"""The traces of one job as the services export them: a render with a retry that failed at last, and its replay."""

from typing import Any

from shared.client.traces import Traces
from shared.telemetry.spans import StoredSpan

FIRST, SECOND = "11" * 16, "22" * 16
START_NS = 1_800_000_000 * 10**9


class Recorder:
    """Makes the spans of one trace; times in seconds from its start."""

    def __init__(self, trace_id: str, begin_s: float) -> None:
        self.trace_id = trace_id
        self.begin_ns = START_NS + round(begin_s * 1e9)
        self.spans: list[StoredSpan] = []

    def __call__(
        self, name: str, service: str, start: float, end: float, parent: str = "", kind: str = "internal", *,
        links: Any = (), error: str | None = None, events: Any = (), **attributes: Any,
    ) -> str:  # fmt: skip
        own = f"{len(self.spans) + 1:016x}"
        values = {key.replace("__", "."): value for key, value in attributes.items()}
        values |= {"render.job": "spot-0042", "tenant": "default"} if name.startswith(("process", "render")) else {}
        begin, finish = (self.begin_ns + round(one * 1e9) for one in (start, end))
        self.spans.append(
            StoredSpan(self.trace_id, own, parent, name, service, kind, begin, finish, values, list(events),
                       list(links), error, "0.3.0")
        )  # fmt: skip
        return own


def example() -> Traces:
    """Two traces: the second is the replay of the first."""
    one = Recorder(FIRST, 0)
    root = one("submit render.requests", "cli", 0, 0.21)
    sent = one("send render.requests", "cli", 0.18, 0.2, root, "producer")
    audio = one("process render.requests", "audio", 0.65, 1.33, sent, "consumer", queue__wait_ms=450, attempt=1)
    one("artifact.get", "audio", 0.67, 0.71, audio, artifact__role="speech", artifact__bytes=812_000)
    one("load_audio", "audio", 0.72, 1.2, audio)
    sent = one("send render.face", "audio", 1.3, 1.32, audio, "producer")
    face = one("process render.face", "face", 1.33, 1.9, sent, "consumer", queue__wait_ms=4, attempt=1)
    one("preprocess_image", "face", 1.35, 1.8, face, cached=True)
    sent = one("send render.infer.sonic", "face", 1.88, 1.89, face, "producer")
    failed = one("process render.infer.sonic", "infer", 4.9, 9.2, sent, "consumer", queue__wait_ms=3000, attempt=1,
                 error="the worker process ended with signal 9", error__type="OUT_OF_MEMORY")  # fmt: skip
    exception = {"exception.type": "WorkerDied", "exception.message": "signal 9 <b>&amp;"}
    one("run_inference", "infer", 5.0, 9.1, failed, inference__steps=10, error="signal 9",
        events=[{"name": "exception", "time_ns": one.begin_ns + 9 * 10**9, "attributes": exception}])  # fmt: skip
    again = one("process render.infer.sonic", "infer", 19.4, 24.0, sent, "consumer", attempt=2, queue__wait_ms=10,
                links=[{"trace_id": FIRST, "span_id": failed, "kind": "previous_attempt"}],
                error="the worker process ended with signal 9", error__type="OUT_OF_MEMORY")  # fmt: skip
    one("run_inference", "infer", 19.5, 23.9, again, inference__steps=10, error="signal 9")
    one("render", "infer", 0.18, 24.0, root, outcome="failed", engine="sonic", inference__steps=10, attempts=4,
        error="failed", error__type="OUT_OF_MEMORY", queue__wait_ms=3464)  # fmt: skip
    two = Recorder(SECOND, 600)
    replay = two("replay", "cli", 0, 0.01, kind="producer",
                 links=[{"trace_id": FIRST, "span_id": again, "kind": "replay_of"}])  # fmt: skip
    infer = two("process render.infer.sonic", "infer", 0.1, 32.1, replay, "consumer", queue__wait_ms=90, attempt=1)
    two("run_inference", "infer", 0.2, 31.9, infer, inference__steps=10, frames=250)
    sent = two("send render.encode", "infer", 31.9, 31.95, infer, "producer")
    encode = two("process render.encode", "encode", 32.0, 34.2, sent, "consumer", queue__wait_ms=60, attempt=1)
    two("encode_video", "encode", 32.1, 34.0, encode, frames=250)
    two("render", "encode", -600, 34.2, replay, outcome="done", engine="sonic", inference__steps=10,
        video__resolution="512x512", audio__duration_asked_s=12.0, video__duration_s=9.52, audio__duration_gap_ms=2480,
        audio__drift_ms=140, lip__offset_ms=140, container__drift_ms=4, render__quality=0.61, render__non_optimal=True,
        attempts=5, replays=1, seconds__infer=31.7, seconds__encode=1.9, gpu__seconds=31.1)  # fmt: skip
    return {FIRST: one.spans, SECOND: two.spans}
