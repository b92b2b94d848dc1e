"""Replaying dead letters: what is sent, what is refused, what is noted."""

import json
from collections import Counter

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from shared import __version__
from shared.client import Client, DeadLetterFilter, Deployment, JobKey
from shared.client.connection import Connection
from shared.client.dead_letters.plan import Verdict
from shared.client.errors import DeadLetterNotFound, InvalidRequest
from shared.messages.codes import Code
from shared.messages.dead_letter_state import DeadLetterRun, DeadLetterState
from shared.runtime.settings import RuntimeSettings
from tests.client.dead_letters.making import OLD, TRACEPARENT, Made, jobs_sent, send, sent
from tests.client.dead_letters.replaying import counts, options, replayed
from tests.client.services import Services
from tests.conftest import apply_topics

ACME = {"key": "acme/x", "sha256": "0" * 64, "size": 1}


def states(client: Client) -> dict[str, str]:
    return {one.job_id or "": str(one.state) for one in client.dead_letters()}


def test_a_plan_sends_nothing(client: Client, deployment: Connection) -> None:
    send(deployment, [Made("a"), Made("b", "render.infer.puppet", "infer")])
    plan = client.replay(options(client)).plan()
    assert counts(plan) == {Verdict.SEND: 2}
    prefix = deployment.settings.topic_prefix
    assert plan.targets == {f"{prefix}render.face": 1, f"{prefix}render.infer.puppet": 1}
    assert sent(deployment, "render.face") == []
    assert sent(deployment, "render.replays") == []
    assert states(client) == {"a": "new", "b": "new"}


def test_the_record_is_the_failed_one_under_one_new_trace(client: Client, deployment: Connection) -> None:
    odd = [("x", b"\xff\x00"), ("x", None), ("X", b""), ("lipstage-attempt", b"4"), ("lipstage-retry-code", b"C")]
    send(deployment, [Made("a", headers=odd, value=b'{"not": "a task"', key=b"a", code=Code.CRASH_LOOP)])
    _, done = replayed(client)
    assert (done.sent, done.failed, done.refused) == (1, 0, 0)
    (message,) = sent(deployment, "render.face")
    assert (message.key(), message.value()) == (b"a", b'{"not": "a task"')
    headers = message.headers()
    assert headers[:3] == odd[:3]
    names = [name for name, _ in headers]
    assert sorted(names[3:]) == sorted(
        ["lipstage-replay-count", "lipstage-origin", "lipstage-replay-failure", "traceparent"]
    )
    values = dict(headers)
    assert values["lipstage-replay-count"] == b"1"
    assert values["lipstage-origin"] == f"{deployment.settings.topic_prefix}render.face/0/0".encode()
    assert values["traceparent"] != TRACEPARENT.encode()


def test_replay_publishes_its_event_and_notes_the_state_and_the_run(client: Client, deployment: Connection) -> None:
    send(deployment, [Made("a", fields={"labels": {"n": "1"}})])
    replayed(client, DeadLetterFilter(codes=("STORE_UNAVAILABLE",)))
    (event,) = (json.loads(message.value()) for message in sent(deployment, "render.events"))
    assert (event["type"], event["job_id"], event["replays"], event["labels"]) == ("replayed", "a", 1, {"n": "1"})
    assert event["dead_letter"]["topic"].endswith("render.dlq")
    (record,) = sent(deployment, "render.face")
    assert event["trace_id"] in dict(record.headers())["traceparent"].decode()
    by_key = {message.key().decode(): message.value() for message in sent(deployment, "render.replays")}
    (run,) = (DeadLetterRun.model_validate_json(v) for k, v in by_key.items() if k.startswith("audit/"))
    assert (run.action, run.by, run.filter, run.counts) == (
        "replay",
        "tester@here",
        {"codes": "STORE_UNAVAILABLE"},
        {"sent": 1},
    )
    assert run.finished_ms is not None
    (state,) = (DeadLetterState.model_validate_json(v) for k, v in by_key.items() if not k.startswith("audit/"))
    assert (state.state, state.job_id, state.replays, state.run_id) == ("replayed", "a", 1, run.run_id)
    assert state.target is not None
    assert (state.target.partition, state.target.offset) == (record.partition(), record.offset())


def test_a_second_replay_sends_nothing_again(client: Client, deployment: Connection) -> None:
    send(deployment, [Made("a"), Made("b")])
    replayed(client, limit=1)
    plan, done = replayed(client)
    assert counts(plan) == {Verdict.SEND: 1, Verdict.REPLAYED: 1}
    assert (done.sent, done.refused) == (1, 0)
    assert jobs_sent(deployment, "render.face") == ["a", "b"]
    plan, _ = replayed(client)
    assert counts(plan) == {Verdict.REPLAYED: 2}
    plan, done = replayed(client, force=True)
    assert done.sent == 2


def test_jobs_that_have_ended_are_refused_whatever_is_forced(
    client: Client, deployment: Connection, services: Services
) -> None:
    send(deployment, [Made(job) for job in ("done", "cancelled", "rejected", "failed", "purged")])
    services.done("done")
    services.event("failed", "cancelled", stage="face", code="CANCELLED", message="m")
    services.event("rejected", "rejected", stage="face", code="NO_FACE", message="m")
    services.event("failed", "failed", stage="face", code="INTERNAL", message="m")
    services.event("purged", "purged")
    plan, done = replayed(client, force=True)
    assert counts(plan) == {
        Verdict.SEND: 1,
        Verdict.DONE: 1,
        Verdict.CANCELLED: 1,
        Verdict.REJECTED: 1,
        Verdict.PURGED: 1,
    }
    assert (done.sent, done.refused) == (1, 4)
    assert jobs_sent(deployment, "render.face") == ["failed"]


def test_what_would_fail_the_same_way_is_refused(client: Client, deployment: Connection) -> None:
    repeated = [("lipstage-replay-count", b"1"), ("lipstage-replay-failure", f"CRASH_LOOP/{__version__}".encode())]
    send(
        deployment,
        [
            Made("poison", code=Code.POISON, version=__version__),
            Made("poison-before", code=Code.POISON, version=OLD),
            Made("crash", code=Code.CRASH_LOOP, version=__version__),
            Made("crash-again", code=Code.CRASH_LOOP, version=__version__, headers=repeated),
        ],
    )
    plan, done = replayed(client)
    assert counts(plan) == {Verdict.SEND: 2, Verdict.SAME: 2}
    assert (done.sent, done.refused) == (2, 2)
    assert jobs_sent(deployment, "render.face") == ["crash", "poison-before"]
    plan, _ = replayed(client, force=True)
    assert plan.to_send == 4


def test_after_three_replays_a_record_is_parked(client: Client, deployment: Connection) -> None:
    send(deployment, [Made("a", headers=[("lipstage-replay-count", b"3"), ("x", b"\xff")])])
    plan, done = replayed(client)
    assert counts(plan) == {Verdict.PARK: 1}
    assert (done.sent, done.parked, done.refused) == (0, 1, 1)
    (parked,) = sent(deployment, "render.parked")
    (original,) = sent(deployment, "render.dlq")
    assert (parked.key(), parked.value(), parked.headers()) == (original.key(), original.value(), original.headers())
    assert states(client) == {"a": "parked"}
    _, done = replayed(client)
    assert (done.sent, done.refused) == (0, 0)
    _, done = replayed(client, force=True)
    assert done.sent == 1
    assert dict(sent(deployment, "render.face")[0].headers())["lipstage-replay-count"] == b"4"


def test_the_replay_count_follows_the_job(client: Client, deployment: Connection, services: Services) -> None:
    """The job was replayed twice from other dead letters: a lower count would not reopen it."""
    send(deployment, [Made("a")])
    services.event("failed", "a", stage="face", code="INTERNAL", message="m", replays=2)
    replayed(client)
    assert dict(sent(deployment, "render.face")[0].headers())["lipstage-replay-count"] == b"3"


def test_a_state_says_how_the_replay_ended(client: Client, deployment: Connection, services: Services) -> None:
    send(deployment, [Made(job) for job in ("done", "failed", "running", "earlier")])
    services.event("failed", "earlier", stage="face", code="INTERNAL", message="m")
    replayed(client)
    services.done("done", replays=1)
    services.event("failed", "failed", stage="face", code="INTERNAL", message="m", replays=1)
    assert states(client) == {
        "done": "replayed:done",
        "failed": "replayed:failed",
        "running": "replayed:running",
        "earlier": "replayed:running",
    }
    chosen = DeadLetterFilter(states=("replayed:failed",))
    assert [one.job_id for one in client.dead_letters(chosen)] == ["failed"]


def test_a_value_in_the_object_store_is_fetched_and_verified(client: Client, deployment: Connection) -> None:
    value = Made("a").record("", 0).value or b""
    ref = deployment.artifacts.put_bytes(value, "jobs/default/a/dlq/value")
    names = {"value.key": ref.key, "value.sha256": ref.sha256, "value.size": str(ref.size)}
    for job, digest in (("a", ref.sha256), ("altered", "0" * 64)):
        headers = {"topic": deployment.topic("render.face"), "code": "STORE_UNAVAILABLE", **names}
        headers["value.sha256"] = digest
        stored = [(f"__dlq.errors.{name}", text.encode()) for name, text in headers.items()]
        deployment.raw_producer.produce(deployment.topic("render.dlq"), None, job.encode(), headers=stored)
    assert deployment.raw_producer.flush(20) == 0
    plan, done = replayed(client)
    assert counts(plan) == {Verdict.SEND: 2}, "a plan only asks whether the object is there"
    assert (done.sent, done.refused) == (1, 1)
    (message,) = sent(deployment, "render.face")
    assert message.value() == value
    deployment.artifacts.delete([ref.key])
    assert counts(client.replay(options(client, force=True)).plan()) == {Verdict.BODY_MISSING: 2}


def test_records_of_unknown_topics_need_a_target(client: Client, deployment: Connection) -> None:
    send(deployment, [Made("a", "render.cancel", "face")])
    plan = client.replay(options(client)).plan()
    assert counts(plan) == {Verdict.NO_TARGET: 1}
    _, done = replayed(client, to="render.encode")
    assert done.sent == 1
    assert jobs_sent(deployment, "render.encode") == ["a"]


def test_request_from_before_tenants_had_topics_is_replayed_to_that_of_its_tenant(
    deployment: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPSTAGE_TENANCY", "topic")
    apply_topics(RuntimeSettings(), ["acme"])
    fields = {"tenant": "acme", "portrait": ACME, "speech": ACME}
    send(deployment, [Made("a", "render.requests.bulk", "audio", fields=fields), Made("b", "render.requests", "audio")])
    with Client(Deployment()) as client:
        plan = client.replay(options(client)).plan()
        assert counts(plan) == {Verdict.SEND: 1, Verdict.NO_TARGET: 1}, "the default tenant has no topics"
        assert list(plan.targets) == [deployment.topic("render.requests.acme.bulk")]


def test_only_a_topic_that_a_stage_reads_can_be_the_target(client: Client, deployment: Connection) -> None:
    send(deployment, [Made("a"), Made("b", "render.requests", "audio")])
    for topic in ("render.events", "render.nowhere"):
        with pytest.raises(InvalidRequest, match="no stage reads"):
            client.replay(options(client, to=topic))
    assert counts(client.replay(options(client, to="render.encode")).plan()) == {
        Verdict.SEND: 1,
        Verdict.WRONG_TARGET: 1,
    }
    plan = client.replay(options(client, to="render.requests")).plan()
    assert counts(plan) == {Verdict.SEND: 1, Verdict.WRONG_TARGET: 1}
    assert "a task can't go to" in plan.problems[0]


def test_ids_are_sent_once_and_must_exist(client: Client, deployment: Connection) -> None:
    send(deployment, [Made("a")])
    (one,) = client.dead_letters()
    place = (one.dead.partition, one.dead.offset)
    for unknown in ((one.dead.partition, 99), (99, 0)):
        with pytest.raises(DeadLetterNotFound, match=f"{unknown[0]}:{unknown[1]}"):
            client.replay(options(client, DeadLetterFilter(ids=(place, unknown))))
    _, done = replayed(client, DeadLetterFilter(ids=(place, place)))
    assert done.sent == 1
    assert jobs_sent(deployment, "render.face") == ["a"]


def test_max_in_flight_waits_for_the_group_of_the_target(client: Client, deployment: Connection) -> None:
    """Nobody commits: the replay stops at the limit. It goes on as the group commits."""
    send(deployment, [Made(f"j{n}") for n in range(6)])
    replay = client.replay(options(client, max_in_flight=2))
    seen = Counter[str]()

    def commit(now: Counter[str]) -> None:
        seen.update({f"at {now['sent']}": 1})
        assert len(sent(deployment, "render.face")) <= committed[0] + 2
        if now["sent"] - committed[0] == 2:
            committed[0] = now["sent"]
            commit_all(deployment, "face", "render.face")

    committed = [0]
    done = replay.run(6, commit)
    assert done.sent == 6
    assert committed[0] == 6


def commit_all(connection: Connection, stage: str, topic: str) -> None:
    consumer = connection.consumer({"group.id": connection.settings.group(stage)})
    ends = {m.partition(): m.offset() + 1 for m in sent(connection, topic)}
    full = connection.topic(topic)
    consumer.commit(offsets=[TopicPartition(full, p, o) for p, o in ends.items()], asynchronous=False)
    consumer.close()


def test_states_of_dead_letters_that_retention_has_deleted_are_forgotten(
    client: Client, deployment: Connection
) -> None:
    send(deployment, [Made("a"), Made("a")])  # One key: one partition.
    replayed(client)
    (partition,) = {message.partition() for message in sent(deployment, "render.dlq")}
    delete_before(deployment, partition, 1)
    send(deployment, [Made("b")])
    replayed(client)
    assert {one.job_id: str(one.state) for one in client.dead_letters()} == {
        "a": "replayed:running",
        "b": "replayed:running",
    }
    tombstones = [message.key() for message in sent(deployment, "render.replays") if message.value() is None]
    assert tombstones == [f"{partition}:0".encode()]


def delete_before(connection: Connection, partition: int, offset: int) -> None:
    admin = AdminClient({"bootstrap.servers": connection.settings.bootstrap_servers})
    for future in admin.delete_records([TopicPartition(connection.topic("render.dlq"), partition, offset)]).values():
        future.result(20)


def test_a_client_waits_for_the_end_of_the_replay(client: Client, deployment: Connection, services: Services) -> None:
    send(deployment, [Made("a")])
    services.event("failed", "a", stage="face", code="INTERNAL", message="m")
    assert client.job("a").status == "failed"
    replayed(client)
    state = client.job("a")
    assert (state.has_ended, state.replays) == (False, 1)
    past, start = client.past_events("a")
    assert [event.type for event in past] == ["replayed"]
    services.event("failed", "a", stage="face", code="INTERNAL", message="a late copy")
    services.done("a", replays=1)
    ended = [event.type for event in client.follow("a", start, replays=1, timeout_s=60)]
    assert ended == ["done"], "the failure before the replay ends nothing"
    assert client.wait("a", timeout_s=60).type == "done"
    assert client.job("a").status == "done"


def test_a_job_is_found_by_its_own_tenant(client: Client, deployment: Connection, services: Services) -> None:
    send(deployment, [Made("a", fields={"tenant": "acme"}), Made("a")])
    services.event("rejected", "a", tenant="acme", stage="face", code="NO_FACE", message="m")
    plan = client.replay(options(client)).plan()
    assert counts(plan) == {Verdict.SEND: 1, Verdict.REJECTED: 1}
    assert JobKey("default", "a")
