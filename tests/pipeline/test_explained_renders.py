"""Thirty renders with chosen steps, drifts and ends: each is one trace, and the questions find exactly the right ones.

Asked is the real Tempo where one is found, and the trace receiver of the local stack elsewhere. The stock
instrumentation does the same hops beside it: it makes several traces of every render.
"""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from opentelemetry.instrumentation.confluent_kafka import ConfluentKafkaInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.cli.trace_source import chosen
from shared.client import Client, DeadLetterFilter, JobKey
from shared.client.traces import FoundRender, Traces, TraceSource, find_renders, job_traces
from shared.local import ports
from shared.local import stack as local
from shared.local.credentials import load_or_create
from shared.local.deployment import deployment_of, find_environment
from shared.local.settings import LocalSettings
from shared.messages.pipeline import SERVICES, STAGES
from tests.client.dead_letters.replaying import replayed
from tests.conftest import ROOT, Infrastructure, temporary_topics
from tests.pipeline.conftest import spoken, unseen_portrait
from tests.pipeline.faulty_puppet import GATE
from tests.relay.harness import until

pytestmark = pytest.mark.timeout(900)  # The renders of the fixture count to the first test.
SPEECH_S = 5.5
"""The lips are measured against four seconds of speech or more."""
LATE_MS = 200
STEPS = (5, 10, 20, 21, 25, 40)
"""On both sides of the question's 20."""


@dataclass(frozen=True)
class Case:
    """One render, and what its `render` span must say."""

    name: str
    outcome: str = "done"
    steps: int = 25
    labels: dict[str, str] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    speech: str = "speech"
    portrait: str = "portrait"

    @property
    def is_late(self) -> bool:
        return self.outcome == "done" and "late_ms" in self.labels


LATE = {"late_ms": str(LATE_MS)}
CASES = [
    *(Case(f"in-time-{steps}-{number}", steps=steps) for steps in STEPS for number in range(2)),
    *(Case(f"late-{steps}", steps=steps, labels=LATE) for steps in STEPS),
    Case("retried", labels={"retry": "1"}),
    Case("retried-late", labels={"retry": "1", **LATE}),
    Case("crashed", labels={"crash": "once"}),
    Case("cut-short", params={"duration": 9.0}),
    Case("trimmed", params={"duration": 2.0, "trim": True}),
    Case("no-recording", "rejected", speech="wrong"),
    Case("no-portrait", "rejected", portrait="wrong"),
    Case("too-short", "rejected", speech="instant"),
    Case("cancelled", "cancelled", labels={"hold": "1"}),
    Case("expired", "expired", labels={"retry": "1"}, fields={"deadline_s": 6.0}),
    Case("dead", "failed", labels={"crash": "always"}),
    Case("replayed", "failed", labels={"crash": "always", **LATE}),
]
ENDED = ("done", "rejected", "cancelled", "expired", "failed")


@dataclass
class Run:
    """The thirty renders have ended, the dead letter of one was replayed."""

    source: TraceSource
    began_ns: int
    is_tempo: bool
    bootstrap_servers: str

    def ask(self, where: str) -> set[str]:
        """Names of the renders that the question finds in the last hour."""
        return {str(one.values["render.job"]) for one in self.found(where)}

    def found(self, where: str) -> list[FoundRender]:
        return find_renders(self.source, where, since_ns=time.time_ns() - 3600 * 10**9)

    def traces(self, job_id: str) -> Traces:
        return job_traces(self.source, JobKey("default", job_id))

    def roots(self) -> Iterator[tuple[str, list[str]]]:
        """The name of each render, once a trace, and the spans there whose parent is not."""
        for case in CASES:
            for spans in self.traces(case.name).values():
                ids = {span.span_id for span in spans}
                yield case.name, [span.name for span in spans if span.parent_id not in ids]

    def render(self, job_id: str) -> dict[str, Any]:
        """The attributes of its newest `render` span."""
        spans = [span for trace in self.traces(job_id).values() for span in trace if span.name == "render"]
        return dict(max(spans, key=lambda span: span.start_ns + span.duration_ns).attributes)


def service(settings: LocalSettings, folder: Path) -> "subprocess.Popen[bytes]":
    """The infer service with faults, in place of the stack's."""
    environment = {
        **(find_environment(settings) or {}),
        "LIPSTAGE_TOPIC_PREFIX": settings.topic_prefix,
        "LIPSTAGE_HEALTH_PORT": str(ports.pick(1)[0]),
        "LIPSTAGE_MAX_CRASHES": "2",
        "LIPSTAGE_HASH_KEY": load_or_create(settings.state).hash_key,
        GATE: str(folder / "gate"),
        "LIPSTAGE_CONFINEMENT": "off",  # The handler writes beside the gate.
    }
    log = (folder / "infer.log").open("wb")
    command = [sys.executable, "-P", "-m", "tests.pipeline.faulty_puppet"]
    return subprocess.Popen(command, env=environment | {"PYTHONPATH": str(ROOT)}, stdout=log, stderr=log)


@pytest.fixture(scope="module")
def run(stack: Infrastructure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("explained")
    with temporary_topics(stack.bootstrap_servers) as prefix, pytest.MonkeyPatch.context() as environment:
        environment.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
        settings = LocalSettings(state_dir=folder / "state", kafka_bootstrap_servers=stack.bootstrap_servers,
                                 s3_endpoint_url=stack.s3_endpoint_url, topic_prefix=prefix)  # fmt: skip
        environment.setenv("LIPSTAGE_TOPIC_PREFIX", prefix)
        environment.setenv("LIPSTAGE_LIP_CHECK", "1")
        # Of what is installed, Tempo alone is of use here.
        environment.setenv("PATH", "/usr/sbin:/sbin")
        started = local.up(settings, dict.fromkeys(SERVICES, 1) | {"infer": 0}, with_observability=True)
        infer = service(settings, folder)
        try:
            began_ns = time.time_ns()
            with Client(deployment_of(started)) as client:
                submit_all(client, folder)
            variables = started.environment(None)
            tempo = variables.get("LIPSTAGE_TEMPO_URL", "")
            made = Run(chosen(tempo, started.traces_url), began_ns, bool(tempo), stack.bootstrap_servers)
            # The replayed one has a second summary; a span is found about two seconds after its trace has paused.
            until(lambda: len(made.found("")) == len(CASES) + 1, "every summary is found")
            # A service's own span ends after the events of its task.
            until(lambda: all(len(roots) == 1 for _, roots in made.roots()), "every span has its parent")
            yield made
        finally:
            infer.terminate()
            infer.wait(60)
            local.down(settings, purge=True)


def submit_all(client: Client, folder: Path) -> None:
    """Submit all, cancel one when it is in work, wait for all ends, replay one dead letter, and wait for its end."""
    files = {"speech": spoken(SPEECH_S), "instant": spoken(0.05), "wrong": b"neither sound nor picture",
             "portrait": unseen_portrait()}  # fmt: skip
    for name, content in files.items():
        (folder / name).write_bytes(content)
    for number, case in enumerate(CASES):
        params = {"inference_steps": case.steps, "min_resolution": 256, **case.params}
        client.submit(client.job_spec(folder / case.portrait, folder / case.speech, job_id=case.name, params=params,
                                      labels=case.labels, department=("film", "sales")[number % 2], owner="anna",
                                      **case.fields))  # fmt: skip
    until(lambda: client.job("cancelled").current_stage == "infer", "the job that holds is in work")
    client.cancel("cancelled")
    for case in CASES:
        end = client.wait(case.name, timeout_s=300)
        assert client.job(case.name).status in (case.outcome, end.type), case.name
    (folder / "gate").touch()
    _, sent = replayed(client, DeadLetterFilter(jobs=("replayed",)))
    assert sent.sent == 1
    until(lambda: client.job("replayed").status == "done", "the replayed job is done", 120)


def test_steps_above_20_and_drift_above_100_ms_finds_exactly_the_forced_ones(run: Run) -> None:
    expected = {case.name for case in CASES if case.is_late and case.steps > 20} | {"replayed"}
    assert run.ask("inference.steps > 20 and audio.drift_ms > 100") == expected
    assert run.ask("audio.drift_ms > 100") == {case.name for case in CASES if case.is_late} | {"replayed"}
    assert run.ask("inference.steps <= 20 and audio.drift_ms <= 100") == {
        case.name for case in CASES if case.steps <= 20 and not case.is_late
    }


@pytest.mark.parametrize("outcome", ENDED)
def test_outcome_finds_exactly_the_renders_that_ended_so(run: Run, outcome: str) -> None:
    expected = {case.name for case in CASES if case.outcome == outcome}
    assert run.ask(f'outcome = "{outcome}"') == expected | ({"replayed"} if outcome == "done" else set())


def test_retries_and_replays_are_found(run: Run) -> None:
    retried = {case.name for case in CASES if case.labels.keys() & {"retry", "crash"}}
    ended_early = {case.name for case in CASES if case.outcome in ("failed", "expired")}
    assert run.ask("attempts > 4") == retried - ended_early
    assert run.ask("replays > 0") == {"replayed"}


def test_every_render_is_one_trace_and_a_replay_a_linked_one(run: Run) -> None:
    traces = {case.name: run.traces(case.name) for case in CASES}
    assert {name for name, found in traces.items() if len(found) > 1} == {"replayed"}
    first, second = traces["replayed"].items()
    assert first[0] in {link["trace_id"] for span in second[1] for link in span.links}
    assert [(name, roots) for name, roots in run.roots() if len(roots) != 1] == []
    for case in CASES:
        services = {span.service for span in next(iter(traces[case.name].values()))}
        if case.outcome == "done":
            assert services >= set(STAGES), case.name


def test_stock_instrumentation_breaks_every_render_into_several_traces(run: Run) -> None:
    """The same hops, with the prescribed package on producer and consumer, as its documentation shows."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    stock = ConfluentKafkaInstrumentor()
    with temporary_topics(run.bootstrap_servers) as prefix:
        topics = [f"{prefix}{stage}" for stage in STAGES]
        admin = AdminClient({"bootstrap.servers": run.bootstrap_servers})
        for made in admin.create_topics([NewTopic(topic, 1) for topic in topics]).values():
            made.result(30)
        producer = stock.instrument_producer(
            confluent_kafka.Producer({"bootstrap.servers": run.bootstrap_servers}), provider
        )
        consumers = []
        for topic in topics:
            config = {"bootstrap.servers": run.bootstrap_servers, "group.id": topic, "auto.offset.reset": "earliest",
                      "topic.metadata.refresh.interval.ms": 200}  # fmt: skip
            consumer = stock.instrument_consumer(confluent_kafka.Consumer(config), provider)
            consumers.append(consumer)
        for number in range(len(CASES)):
            producer.produce(topic=topics[0], value=str(number), key=str(number), headers=[])
        producer.flush(30)
        for topic, consumer, onward in zip(topics, consumers, [*topics[1:], None], strict=True):
            consumer.subscribe([topic])
            seen = 0
            deadline = time.monotonic() + 60
            while seen < len(CASES):
                assert time.monotonic() < deadline, topic
                message = consumer.poll(0.2)
                if message is None or message.error():
                    continue
                seen += 1
                if onward is not None:
                    producer.produce(topic=onward, value=message.value(), key=message.key(), headers=[])
            producer.flush(30)
            consumer.close()
    sends = [span for span in exporter.get_finished_spans() if span.name.endswith("send")]
    assert len(sends) == len(topics) * len(CASES)
    traces = len({span.context.trace_id for span in exporter.get_finished_spans()})
    print(f"stock instrumentation: {traces} traces for {len(CASES)} renders; ours: one each")
    assert traces >= 2 * len(CASES)


def test_story_of_the_video_that_was_cut_short(run: Run) -> None:
    """Asked for nine seconds, got five and a half: the recording itself ends there."""
    assert run.ask("audio.duration_asked_s > 8 and video.duration_s < 6") == {"cut-short"}
    told = run.render("cut-short")
    assert told["audio.duration_asked_s"] == 9.0
    assert told["audio.duration_s"] == pytest.approx(SPEECH_S, abs=0.05)
    assert told["video.duration_s"] == pytest.approx(SPEECH_S, abs=0.05)
    assert told["audio.duration_gap_ms"] == pytest.approx(3500, abs=50)
    assert abs(told["container.drift_ms"]) < 40, "nothing was lost on the way"
    trimmed = run.render("trimmed")
    assert trimmed["video.duration_s"] == pytest.approx(2.0, abs=0.05)
    assert trimmed["render.non_optimal"] is False, "asked for and got"


def test_story_of_the_late_lips(run: Run) -> None:
    """The file is in step, the mouth is late, and there were few steps."""
    found = run.ask("lip.offset_ms > 100 and inference.steps <= 10")
    assert found == {case.name for case in CASES if case.is_late and case.steps <= 10}
    told = run.render("late-10")
    assert told["lip.offset_ms"] == pytest.approx(LATE_MS, abs=60), "positive: the video is late"
    assert abs(told["container.drift_ms"]) < 40, "neither encoding nor the player is the cause"
    assert told["inference.steps"] == 10
    assert told["render.non_optimal"] is True
    assert told["audio.drift_ms"] == pytest.approx(LATE_MS, abs=60)


def test_every_summary_has_department_owner_and_tenant(run: Run) -> None:
    found = {case.name: run.render(case.name) for case in CASES}
    departments = Counter(told["tenant.department"] for told in found.values())
    assert departments == {"film": len(CASES) / 2, "sales": len(CASES) / 2}
    assert len({told["owner.hash"] for told in found.values()}) == 1
    assert all("anna" not in str(told) for told in found.values())
