"""LIPSTAGE_WORK_PARTITIONS: topics of tasks are made with it and grow to it; no other topic changes."""

import pytest
from confluent_kafka.admin import AdminClient
from pydantic import ValidationError

from shared.runtime import topic_admin
from shared.runtime.settings import RuntimeSettings
from tests.conftest import Infrastructure

INTERACTIVE = ("render.requests", "render.face", "render.infer.puppet", "render.encode")
WORK = {name + lane for name in INTERACTIVE for lane in ("", ".bulk")}


def partitions(settings: RuntimeSettings) -> dict[str, int]:
    admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers})
    found = admin.list_topics(timeout=30).topics
    prefix = settings.topic_prefix
    return {name.removeprefix(prefix): len(t.partitions) for name, t in found.items() if name.startswith(prefix)}


def test_topics_of_tasks_have_the_set_number_of_partitions_and_grow_to_a_larger_one(
    stack: Infrastructure, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPSTAGE_WORK_PARTITIONS", "3")
    settings = RuntimeSettings(topic_prefix=topic_prefix)
    topic_admin.apply(settings)
    before = partitions(settings)
    assert {name for name, count in before.items() if count == 3} == WORK
    monkeypatch.setenv("LIPSTAGE_WORK_PARTITIONS", "5")
    settings = RuntimeSettings(topic_prefix=topic_prefix)
    assert {(c.topic, c.kind, c.wanted, c.found) for c in topic_admin.diff(settings)} == {
        (topic_prefix + name, "grow", "5", "3") for name in WORK
    }
    applied = topic_admin.apply(settings)
    assert {c.topic.removeprefix(topic_prefix) for c in applied if c.found == "2 partitions without"} == WORK
    assert partitions(settings) == before | dict.fromkeys(WORK, 5)
    assert topic_admin.diff(settings) == []


def test_fewer_partitions_than_a_topic_has_are_reported_and_not_applied(
    stack: Infrastructure, topic_prefix: str
) -> None:
    topic_admin.apply(RuntimeSettings(topic_prefix=topic_prefix, work_partitions=3))
    fewer = RuntimeSettings(topic_prefix=topic_prefix, work_partitions=2)
    assert {c.kind for c in topic_admin.diff(fewer)} == {"too_many_partitions"}
    assert topic_admin.apply(fewer) == []


@pytest.mark.parametrize("wrong", ["0", "10001", "many"])
def test_impossible_number_is_refused(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSTAGE_WORK_PARTITIONS", wrong)
    with pytest.raises(ValidationError, match="work_partitions"):
        RuntimeSettings()
