"""What the relay knows of the broker's topics: only what does not exist is missing."""

from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError

from shared.runtime.relay.topic_catalogue import TopicCatalogue


class Admin:
    """Answers with the topics as they are set: a number of partitions, or the code of an error."""

    def __init__(self) -> None:
        self.topics: dict[str, int] = {}

    def list_topics(self, timeout: float) -> Any:
        return SimpleNamespace(
            topics={
                name: SimpleNamespace(
                    error=KafkaError(count) if count in (KafkaError.LEADER_NOT_AVAILABLE, 3) else None,
                    partitions=dict.fromkeys(range(count)) if count not in (3, 5) else {},
                )
                for name, count in self.topics.items()
            }
        )


def test_topic_without_a_leader_is_not_missing_and_a_deleted_one_is() -> None:
    admin, now = Admin(), [0.0]
    catalogue = TopicCatalogue(admin, "", set(), lambda: now[0])
    assert catalogue.age_s == float("inf")
    admin.topics = {"a": 4, "b": 2, "c": 6}
    assert catalogue.renew_if_due()
    admin.topics = {"a": KafkaError.LEADER_NOT_AVAILABLE, "b": KafkaError.UNKNOWN_TOPIC_OR_PART, "d": 5}
    now[0] += 3600
    assert catalogue.age_s == 3600
    assert catalogue.renew_if_due()
    assert [catalogue.partitions(name) for name in "abcd"] == [4, 0, 0, 0]
    assert catalogue.age_s == 0
