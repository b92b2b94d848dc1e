"""One render from the record to the mp4: events, file, trace, headers, redelivery."""

import hashlib
import io
import itertools
import json
import uuid
from collections import Counter
from dataclasses import dataclass

import av
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from shared.local import processes, signing_certificate
from shared.messages.pipeline import STAGES
from shared.telemetry.attributes import SPAN_ATTRIBUTES, Use
from tests.encode import c2pa_files
from tests.pipeline.client import Client, Event, body
from tests.pipeline.conftest import DELIVERIES, Pipeline, spoken, unseen_portrait, unseen_start
from tests.pipeline.service_metrics import total
from tests.pipeline.test_kills import parent

SECONDS = 1.5
BATCH = {"id": "monday", "index": 2, "total": 9}
LABELS = {"campaign": "spring"}
TOPICS = ("render.face", "render.infer.puppet", "render.encode")


@dataclass(frozen=True)
class Rendered:
    job: str
    picture: bytes
    portrait: str
    speech: str
    end: Event
    video: bytes


@pytest.fixture(scope="module")
def rendered(client: Client) -> Rendered:
    picture = unseen_portrait()
    portrait, speech = client.upload(picture), client.upload(spoken(SECONDS, unseen_start()))
    job = client.submit(portrait, speech, batch=BATCH, labels=LABELS)
    end = client.done(job)
    return Rendered(job, picture, portrait, speech, end, client.video(job))


def records_of(pipeline: Pipeline, topic: str, job: str) -> list[list[tuple[str, bytes]]]:
    """Headers of every record of a job on a topic."""
    consumer = Consumer({"bootstrap.servers": pipeline.stack.bootstrap_servers, "group.id": uuid.uuid4().hex,
                         "enable.auto.commit": False, "enable.partition.eof": True})  # fmt: skip
    headers = []
    left = set(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in left])
    while left:
        message = consumer.poll(10)
        assert message is not None
        if message.error() is not None:
            assert message.error().code() == KafkaError._PARTITION_EOF
            left.discard(message.partition())
        elif message.key() == job.encode():
            headers.append(list(message.headers() or []))
    consumer.close()
    return headers


def metric(pipeline: Pipeline, stage: str, name: str) -> float:
    """Sum of a metric over the replicas of a stage."""
    return sum(total(service.health_port, name) for service in pipeline.stack.services if service.stage == stage)


def test_events_report_the_job_in_order(client: Client, rendered: Rendered) -> None:
    types = [(e.type, e.stage) for e in client.events[rendered.job] if e.type not in ("progress", "warning")]
    stages = [[(kind, stage) for kind in ("started", "finished")] for stage in STAGES]
    # The next stage may start before the event of the last one's end is written.
    assert [[one for one in types if one[1] == stage][:2] for stage in STAGES] == stages
    assert [one for one in types if one[0] == "started"] == [started for started, _ in stages]
    assert (types[0], types[-1], len(types)) == (("accepted", ""), ("done", "encode"), 2 + 2 * len(STAGES))
    progress = [e.body["percent"] for e in client.events[rendered.job] if e.type == "progress" and e.stage == "infer"]
    assert progress == sorted(progress)
    assert progress[-1] == 100.0


def test_every_event_has_batch_and_labels(client: Client, rendered: Rendered) -> None:
    assert {json.dumps(e.body.get("batch"), sort_keys=True) for e in client.events[rendered.job]} == {
        json.dumps(BATCH, sort_keys=True)
    }
    assert all(e.body["labels"] == LABELS for e in client.events[rendered.job])


def test_every_record_has_one_traceparent_of_one_trace(client: Client, pipeline: Pipeline, rendered: Rendered) -> None:
    events = client.events[rendered.job]
    traces = {e.body["trace_id"] for e in events}
    assert len(traces) == 1
    for topic in TOPICS:
        (headers,) = records_of(pipeline, topic, rendered.job)
        parents = [value.decode() for name, value in headers if name == "traceparent"]
        assert len(parents) == 1, topic
        assert parents[0].split("-")[1] in traces
    for event in events:
        parents = [value.decode() for name, value in event.headers if name == "traceparent"]
        assert len(parents) == 1, event
        assert parents[0].split("-")[1] in traces


def test_trace_holds_the_whole_render(client: Client, rendered: Rendered) -> None:
    spans = client.spans(rendered.job, "render", "process render.requests", *(f"process {topic}" for topic in TOPICS))
    names = Counter(span["name"] for span in spans)
    assert {span["trace_id"] for span in spans} == {rendered.end.body["trace_id"]}
    for name in ("process render.requests", *(f"process {topic}" for topic in TOPICS), "render"):
        assert names[name] == 1, name
    for name in ("load_audio", "preprocess_image", "run_inference", "encode_video"):
        assert names[name] == 1, name
    assert names["artifact.get"] >= 8
    assert names["artifact.put"] >= 7
    by_id = {span["span_id"]: span for span in spans}
    chain = ["process render.requests"]
    for topic in TOPICS:
        chain += [f"send {topic}", f"process {topic}"]
    for above, below in itertools.pairwise(chain):
        (span,) = [s for s in spans if s["name"] == below]
        assert by_id[span["parent_id"]]["name"] == above
        if below.startswith("process"):
            assert len(span["links"]) == 1
    assert {by_id[s["parent_id"]]["name"].split()[0] for s in spans if s["name"].startswith("artifact.")} == {"process"}
    frames = [
        (s["name"], by_id[s["parent_id"]]["name"]) for s in spans if s["attributes"].get("artifact.role") == "frames"
    ]
    assert sorted(frames) == [
        ("artifact.get", "process render.encode"),
        ("artifact.put", "process render.infer.puppet"),
    ]
    for inner, outer in {
        "load_audio": "process render.requests",
        "preprocess_image": "process render.face",
        "run_inference": "process render.infer.puppet",
        "encode_video": "process render.encode",
    }.items():
        span = next(s for s in spans if s["name"] == inner)
        assert by_id[span["parent_id"]]["name"] == outer
    load = next(s for s in spans if s["name"] == "load_audio")
    assert load["attributes"]["audio.sample_rate"] == 16000
    assert "Audio decoded" in [event["name"] for event in load["events"]]
    assert next(s for s in spans if s["name"] == "preprocess_image")["attributes"]["face.roi_size"] > 0
    assert not [s for s in spans if s["error"] is not None]


def test_frames_take_a_tenth_of_their_bytes_in_the_object_store(client: Client, rendered: Rendered) -> None:
    spans = client.spans(rendered.job, "run_inference", "artifact.put", "artifact.get", "process render.encode")
    (drawn,) = [s["attributes"] for s in spans if s["name"] == "run_inference"]
    width, height = map(int, drawn["video.resolution"].split("x"))
    moved = [s["attributes"]["artifact.bytes"] for s in spans if s["attributes"].get("artifact.role") == "frames"]
    assert len(moved) == 2, "stored once, fetched once"
    assert 10 * max(moved) <= drawn["frames"] * width * height * 3 // 2
    assert drawn["frames.codec"] == "h264-lossless"


def test_file_matches_the_request(rendered: Rendered) -> None:
    with av.open(io.BytesIO(rendered.video)) as file:
        picture, sound = file.streams.video[0], file.streams.audio[0]
        assert (picture.codec_context.name, sound.codec_context.name) == ("h264", "aac")
        assert (picture.codec_context.pix_fmt, picture.average_rate) == ("yuv420p", 25)
        assert (picture.codec_context.width, picture.codec_context.height) == (
            rendered.end.body["width"],
            rendered.end.body["height"],
        )
        frames = sum(1 for _ in file.decode(picture))
    assert frames == round(SECONDS * 25)
    with av.open(io.BytesIO(rendered.video)) as file:
        assert abs(file.streams.audio[0].duration * file.streams.audio[0].time_base - SECONDS) <= 0.04
    assert rendered.video.index(b"moov") < rendered.video.index(b"mdat")
    assert abs(rendered.end.body["duration_s"] - SECONDS) <= 0.04
    assert abs(rendered.end.body["container_drift_ms"]) <= 40


def test_file_has_a_manifest_by_the_stacks_own_signer(pipeline: Pipeline, rendered: Rendered) -> None:
    anchor = (pipeline.stack.state_dir / signing_certificate.FOLDER / signing_certificate.AUTHORITY).read_text()
    assert c2pa_files.read(rendered.video)[:2] == ("Valid", ["signingCredential.untrusted"])
    state, failures, manifest = c2pa_files.read(rendered.video, anchor)
    assert (state, failures) == ("Trusted", [])
    assert rendered.job not in json.dumps(manifest)
    with av.open(io.BytesIO(rendered.video)) as file:
        assert json.loads(file.metadata["AIGC"])["ProduceID"] == rendered.job


def test_event_and_summary_span_have_the_same_measurements(client: Client, rendered: Rendered) -> None:
    body = rendered.end.body
    (summary,) = (s for s in client.spans(rendered.job, "render") if s["name"] == "render")
    attributes = summary["attributes"]
    assert attributes["audio.drift_ms"] == body["audio_drift_ms"]
    assert attributes.get("render.quality") == body.get("quality")
    assert ("lip.offset_ms" in attributes) == ("lip_offset_ms" in body)
    assert body["audio_drift_ms"] >= round(abs(body["container_drift_ms"]))


def test_summary_span_has_every_queried_attribute(client: Client, rendered: Rendered) -> None:
    (summary,) = (s for s in client.spans(rendered.job, "render") if s["name"] == "render")
    queried = {key for key, attribute in SPAN_ATTRIBUTES.items() if attribute.use is Use.QUERIED}
    of_others = {"error.type", "render.rejection", "render.slow", "tenant.department", "owner.hash"}
    unmeasured = {"lip.offset_ms", "render.quality", "audio.duration_asked_s"}
    assert set(summary["attributes"]) <= queried
    assert queried - set(summary["attributes"]) - of_others - unmeasured == set()
    attributes = summary["attributes"]
    assert (attributes["outcome"], attributes["attempts"], attributes["replays"]) == ("done", 4, 0)
    assert attributes["cpu.seconds"] > 0
    assert attributes["gpu.seconds"] == 0
    assert attributes["audio.duration_s"] == pytest.approx(SECONDS, abs=0.04)


def test_frames_are_deleted_and_each_final_artifact_exists_once(client: Client, rendered: Rendered) -> None:
    client.spans(rendered.job, "process render.encode")  # It ends after the cleanup.
    keys = client.keys(f"jobs/default/{rendered.job}/")
    assert [key for key in keys if "/infer/" in key] == []
    assert len([key for key in keys if key.endswith(".mp4")]) == 1
    assert len([key for key in keys if key.endswith(".jpg")]) == 1


def test_face_output_of_a_known_portrait_is_cached(client: Client, pipeline: Pipeline, rendered: Rendered) -> None:
    before = metric(pipeline, "face", "lipstage_face_detections_total")
    job = client.submit(client.upload(rendered.picture), rendered.speech)
    client.done(job)
    face = next(e for e in client.events[job] if e.type == "finished" and e.stage == "face")
    assert face.body["cached"] is True
    assert metric(pipeline, "face", "lipstage_face_detections_total") == before
    assert before >= 1
    spans = client.spans(job, "preprocess_image", "load_audio", "process render.face")
    roi = {s["attributes"]["face.roi_size"] for s in spans if s["name"] == "preprocess_image"}
    worked = client.spans(rendered.job, "preprocess_image")
    assert roi == {s["attributes"]["face.roi_size"] for s in worked if s["name"] == "preprocess_image"}
    assert all(s["attributes"]["cached"] for s in spans if s["name"] in ("preprocess_image", "load_audio"))


def test_equal_requests_give_equal_frames(client: Client, rendered: Rendered) -> None:
    job = client.submit(rendered.portrait, rendered.speech)
    client.done(job)
    assert c2pa_files.read(client.video(job))[0] == "Valid"

    def frames(data: bytes) -> list[bytes]:
        with av.open(io.BytesIO(data)) as file:
            return [frame.to_ndarray().tobytes() for frame in file.decode(video=0)]

    assert frames(client.video(job)) == frames(rendered.video)


def test_same_record_twice_is_one_job(client: Client, portrait: str, rendered: Rendered) -> None:
    job = uuid.uuid4().hex
    value = body(portrait, rendered.speech)
    client.produce("render.requests", value, job)
    client.produce("render.requests", value, job)
    client.until(lambda: len(client.ends(job)) == 2, 90, [job])
    first, second = client.ends(job)
    assert first.id == second.id == f"default/{job}:end"
    assert first.body == second.body
    assert len({e.body["trace_id"] for e in client.events[job]}) == 1, "neither record names a trace"
    assert len({span["trace_id"] for span in client.spans(job, "render")}) == 1
    assert len([key for key in client.keys(f"jobs/default/{job}/") if key.endswith(".mp4")]) == 1
    started = Counter(e.stage for e in client.events[job] if e.type == "started")
    assert started == {"audio": 1, "face": 1, "infer": 1, "encode": 1}, "the second record causes no work"


@pytest.mark.parametrize("timestamp_ms", [1_800_000_000, 4_000_000_000_000])
def test_producer_clock_has_no_effect(client: Client, rendered: Rendered, timestamp_ms: int) -> None:
    """Seconds instead of milliseconds, which retention reads as 1970, and a clock that is decades ahead."""
    job = uuid.uuid4().hex
    client.produce("render.requests", body(rendered.portrait, rendered.speech), job, timestamp_ms=timestamp_ms)
    assert 0 < client.done(job).body["total_s"] < 600
    (summary,) = (s for s in client.spans(job, "render") if s["name"] == "render")
    assert 0 < summary["end_ns"] - summary["start_ns"] < 600e9
    assert all(0 <= s["attributes"].get("queue.wait_ms", 0) < 600_000 for s in client.spans(job, "render"))


def test_other_request_under_the_same_id_is_a_conflict_that_ends_nothing(
    client: Client, portrait: str, rendered: Rendered
) -> None:
    job = client.submit(portrait, rendered.speech)
    client.submit(portrait, rendered.speech, job=job, params={"min_resolution": 256, "seed": 7})
    client.done(job)
    client.until(lambda: any(e.type == "conflict" for e in client.events[job]), 60, [job])
    client.drain()
    counts = Counter(e.type for e in client.events[job])
    assert (counts["conflict"], counts["done"], counts["rejected"], counts["failed"]) == (1, 1, 0, 0)


def test_finished_files_are_copied_to_the_output_bucket(client: Client, rendered: Rendered) -> None:
    output = {"bucket": DELIVERIES, "prefix": "default/films"}
    job = client.submit(rendered.portrait, rendered.speech, output=output)
    end = client.done(job)
    assert (end.body["video"]["bucket"], end.body["video"]["key"]) == (DELIVERIES, f"default/films/{job}/video.mp4")
    copy = client.s3.get_object(Bucket="lipstage-deliveries", Key=end.body["video"]["key"])["Body"].read()
    assert hashlib.sha256(copy).hexdigest() == end.body["video"]["sha256"]
    client.s3.head_object(Bucket="lipstage-deliveries", Key=end.body["poster"]["key"])


def test_redelivery_without_sender_context_stays_in_its_trace(
    client: Client, pipeline: Pipeline, rendered: Rendered
) -> None:
    """The service dies before the commit: the same record is delivered again, in the same trace."""
    job = client.submit(client.upload(unseen_portrait()), client.upload(spoken(3.0, unseen_start())))
    client.started(job, "audio")
    processes.kill(parent(pipeline, "audio"))
    client.done(job, 100)
    assert len({e.body["trace_id"] for e in client.events[job]}) == 1


def test_cancelled_job_ends_as_cancelled(client: Client, portrait: str) -> None:
    speech = client.upload(spoken(8.0))
    job = client.submit(portrait, speech, params={"min_resolution": 768})
    client.started(job, "infer")
    client.produce("render.cancel", b"{}", job)
    (end,) = client.wait([job])
    assert (end.type, end.body["code"]) == ("failed", "CANCELLED")
    assert [key for key in client.keys(f"jobs/default/{job}/") if key.endswith(".mp4")] == []
