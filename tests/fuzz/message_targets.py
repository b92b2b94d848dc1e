"""Records, manifests and files of JSON or CSV: what senders, other stages and worker processes write."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from shared.client.dead_letters import transfer
from shared.client.errors import InvalidRequest
from shared.client.local_files import FileLimits
from shared.client.manifest import Manifest
from shared.messages.cancel import decode_cancel
from shared.messages.chunk_notice import ChunkNotice
from shared.messages.chunks import H264_LOSSLESS
from shared.messages.codes import Code, Rejected
from shared.messages.dead_letter_state import DeadLetterState
from shared.messages.engines import ENGINE_PARAMS
from shared.messages.events import EVENT
from shared.messages.headers import read_headers
from shared.messages.identity import identify_best_effort, identify_task_best_effort
from shared.messages.refs import ArtifactRef
from shared.messages.task import RenderTask
from shared.messages.validation import advice, check_request, parse_request
from shared.runtime.consume.assignment import Record
from shared.runtime.consume.share import share_of
from shared.slot import records
from shared.storage.errors import ArtifactAltered
from shared.storage.manifest import Chunk, ChunkManifest, read_manifest
from shared.telemetry.query.errors import QueryError
from shared.telemetry.query.language import parse as parse_query
from tests.fuzz.mutation import mutate_json, mutate_lines, mutate_text
from tests.fuzz.target import Target, ending_of

SAMPLES = Path(__file__).parents[1] / "messages" / "samples"
FOLDER = "jobs/acme/job_1-A/infer/a1/"
HASH = "0" * 64
REFUSALS = (Code.INVALID_REQUEST, Code.MESSAGE_TOO_LARGE, Code.ENGINE_UNAVAILABLE, Code.INPUT_FORBIDDEN)


def samples(pattern: str) -> Callable[[], Sequence[bytes]]:
    """The committed messages of one kind."""
    return lambda: [path.read_bytes() for path in sorted(SAMPLES.glob(pattern))]


def of_record(topic: str, value: bytes) -> Record:
    return Record(topic=topic, partition=0, offset=1, key=b"job", value=value, headers=[], timestamp_ms=1)


def request(path: Path) -> str:
    """A request: its share is counted, then it is read, or its best-effort identity is."""
    value = path.read_bytes()
    share_of(of_record("render.requests", value))
    try:
        read = parse_request(value)
        check_request(read, ENGINE_PARAMS)
    except Rejected as rejected:
        assert rejected.code in REFUSALS, rejected.code
        found = identify_best_effort(value, b"job", "render.requests", 0, 1)
        assert found.identity.job_id
        return ending_of(rejected)
    list(advice(read))
    json.dumps(read.model_dump(mode="json")).encode()
    return "read"


def task(path: Path) -> str:
    """A task: one that is read can be written again; one that is not may still name its job."""
    value = path.read_bytes()
    share_of(of_record("render.encode", value))
    try:
        read = RenderTask.parse(value)
    except ValidationError as error:
        identify_task_best_effort(value, b"job", [])
        return f"refused: {error.errors()[0]['type']}"
    assert RenderTask.parse(read.dump()) == read
    return "read"


def model(read: Callable[[bytes], Any]) -> Callable[[Path], str]:
    """A reader that raises ValidationError, and nothing else, for what it refuses."""

    def run(path: Path) -> str:
        try:
            read(path.read_bytes())
        except ValidationError as error:
            assert str(error)
            return f"refused: {error.errors()[0]['type']}"
        return "read"

    return run


def cancel(path: Path) -> str:
    """A command to cancel: the first line of the input is the key."""
    key, _, value = path.read_bytes().partition(b"\n")
    try:
        decode_cancel(key, value)
    except ValueError:
        return "refused"
    return "read"


def headers(path: Path) -> str:
    """Headers of a record, one a line; they never raise."""
    lines = [line.partition(b"=") for line in path.read_bytes().split(b"\n")]
    found = read_headers([(name.decode("latin-1"), value) for name, _, value in lines])
    return "named" if found.job_id else "nothing"


def manifest(path: Path) -> str:
    """The manifest of a sequence of chunks, as the encode stage reads it."""

    class Stored:
        def get_bytes(self, ref: ArtifactRef, max_bytes: int) -> bytes:
            return path.read_bytes()

    stored: Any = Stored()
    try:
        read = read_manifest(stored, ArtifactRef(key=f"{FOLDER}frames.json", sha256=HASH, size=1))
    except ArtifactAltered:
        return "refused"
    assert all(chunk.ref.key.startswith(FOLDER) for chunk in read.chunks)
    return "read"


def manifests() -> Sequence[bytes]:
    def chunk(index: int) -> Chunk:
        ref = ArtifactRef(key=f"{FOLDER}frames-{index:05d}", sha256=HASH, size=25 * 600)
        return Chunk(ref=ref, frames=25)

    raw = ChunkManifest(role="frames", chunks=(chunk(0), chunk(1)), frames=50)
    coded = raw.model_copy(update={"codec": H264_LOSSLESS})
    first = {"role": "frames", "chunks": [chunk(0).model_dump() | {"frames": 1}], "frames": 1}
    return [
        raw.model_dump_json(exclude={"codec"}).encode(),
        json.dumps(first | {"coded": coded.model_dump(mode="json")}).encode(),
    ]


def batch(suffix: str) -> Callable[[Path], str]:
    """The manifest of a batch, as `lipstage submit --batch` reads it."""

    def run(path: Path) -> str:
        for name in ("me.jpg", "a.wav"):
            path.with_name(name).write_bytes(b"x")
        named = path.with_suffix(suffix)
        path.replace(named)
        try:
            specs = list(Manifest(named, {}, FileLimits(64, 512), "batch-7"))
        except InvalidRequest as refused:
            text = f"{refused} {refused.hint}"
            return "refused: " + "".join(c for c in text.replace(str(path.parent), "") if c.isalpha() or c == " ")[:60]
        finally:
            named.unlink(missing_ok=True)
        return f"{min(len(specs), 3)} jobs"

    return run


def dead_letters(path: Path) -> str:
    """A file of exported dead letters, as `lipstage dlq import` reads it."""
    try:
        found = list(transfer.read(path.read_bytes().decode("utf-8", "surrogateescape").splitlines()))
        for key, value, named in found:
            transfer._digest(key, value, named)
    except InvalidRequest:
        return "refused"
    return "read"


def query(path: Path) -> str:
    """An expression of `lipstage traces --where`, which the trace receiver also takes from a URL."""
    try:
        parse_query(path.read_bytes().decode("utf-8", "replace"))
    except QueryError as error:
        return f"refused: {error.code}"
    return "read"


def worker_records() -> Sequence[bytes]:
    ref = {"name": "load_audio", "span_id": "ab" * 8, "parent_id": None, "start_ns": 1, "end_ns": 2}
    values: list[dict[str, Any]] = [
        {"kind": "ready", "load_seconds": 0.1},
        {"kind": "progress", "done": 5, "total": 100},
        {"kind": "span", **ref, "attributes": {"audio.codec": "mp3"}, "events": [], "error": None},
        {"kind": "log", "level": "info", "event": "x", "fields": {"a": [1, {"b": None}]}},
        {"kind": "file_ready", "role": "frames", "path": "f", "frames": 25, "codec": "raw"},
        {"kind": "finished", "files": {"sound": "s.f32"}, "metadata": {"codec": "mp3"}, "cpu_seconds": 0.5},
        {"kind": "refused", "code": "NO_FACE", "message": "m", "field": "portrait", "allowed": None},
        {"kind": "handler_failed", "exception": "E", "message": "m", "stack": "s"},
    ]
    return [json.dumps(value).encode() for value in values]


def notices() -> Sequence[bytes]:
    notice = {
        "tenant": "acme", "job_id": "job_1-A", "stage": "infer", "attempt": "ab" * 16, "role": "frames", "index": 0,
        "ref": {"bucket": "artifacts", "key": f"{FOLDER}frames-00000", "sha256": HASH, "size": 1000}, "frames": 25,
        "codec": H264_LOSSLESS, "remaining_s": 1.5, "topic": "render.encode", "partition": 3,
        "task": json.loads((SAMPLES / "task-encode.json").read_text()),
    }  # fmt: skip
    return [json.dumps(notice).encode()]


def states() -> Sequence[bytes]:
    state = {"state": "replayed", "dead_letter_ms": 1, "at_ms": 2, "run_id": "r", "by": "a@b", "replays": 1,
             "target": {"topic": "render.encode", "partition": 1, "offset": 2}}  # fmt: skip
    return [json.dumps(state).encode()]


CSV = (
    b"portrait,speech,job_id,params.seed\nme.jpg,a.wav,job-1,7\nme.jpg,a.wav,job-2,8\n",
    b'\xef\xbb\xbfsep=;\nportrait;speech;labels.scene\n"me.jpg";"a.wav";"two\nlines"\n# a comment\n',
    b"portrait\tspeech\tengine_params.blinks\nme.jpg\ta.wav\tfalse\n",
)
JSONL = (
    b'{"portrait": "me.jpg", "speech": "a.wav", "params": {"seed": 1, "face": [1, 2, 3, 4]}}\n\n# a comment\n'
    b'{"portrait": "me.jpg", "speech": "a.wav", "labels": {"a": "b"}, "lane": "bulk"}\n',
)
EXPORTED = (
    b'{"format": "lipstage.dead-letter.v1", "key": "am9i", "value": "e30=", "headers": [["a", "Yg=="], ["c", null]]}\n',
)
HEADERS = (
    b"ce_id=acme/job_1-A:infer:progress:2:50\nce_type=lipstage.event.progress.v1\nce_subject=job_1-A\n"
    b"traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\nlipstage-attempt=3",
)
QUERIES = (
    b"inference.steps > 20 and audio.drift_ms > 100",
    b"not (engine = \"puppet\" or tenant != 'acme') && duration >= 1.5h",
    b"((((not not not x))))",
)
TARGETS = [
    Target("messages.request", samples("request-*"), request, mutate_json, in_python=True),
    Target("messages.task", samples("task-*"), task, mutate_json, in_python=True),
    Target("messages.event", samples("event-*"), model(EVENT.validate_json), mutate_json, in_python=True),
    Target("messages.notice", notices, model(ChunkNotice.parse), mutate_json, in_python=True),
    Target("messages.cancel", lambda: [b'acme/job-1\n{"tenant": "acme"}', b"job-1\n{}"], cancel, in_python=True),
    Target("messages.headers", lambda: HEADERS, headers, mutate_text, in_python=True),
    Target("messages.manifest", manifests, manifest, mutate_json, in_python=True),
    Target("messages.worker", worker_records, model(records.FROM_WORKER.validate_json), mutate_json, in_python=True),
    Target("messages.replays", states, model(DeadLetterState.model_validate_json), mutate_json, in_python=True),
    Target("client.batch-csv", lambda: CSV, batch(".csv"), mutate_text, in_python=True),
    Target("client.batch-jsonl", lambda: JSONL, batch(".jsonl"), mutate_lines, in_python=True),
    Target("client.dead-letters", lambda: EXPORTED, dead_letters, mutate_lines, in_python=True),
    Target("client.query", lambda: QUERIES, query, mutate_text, in_python=True),
]  # fmt: skip
