"""Metadata of a broker that has just started, or never gets that far."""

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from shared.runtime.broker_login import LoginErrors, list_topics


class Admin:
    """Answers without a broker, as one does before it has learned of itself, for a number of times."""

    def __init__(self, empty: float) -> None:
        self.empty = empty
        self.asked = 0

    def list_topics(self, timeout: float) -> Any:
        self.asked += 1
        return SimpleNamespace(brokers={} if self.asked <= self.empty else {1: "broker"})

    def poll(self, _: float) -> None:
        pass


def test_answer_without_a_broker_is_none_yet() -> None:
    admin = Admin(empty=2)
    assert list_topics(admin, LoginErrors(), 30).brokers == {1: "broker"}
    assert admin.asked == 3


def test_broker_that_is_never_registered_is_an_error_of_kafka() -> None:
    with pytest.raises(KafkaException) as caught:
        list_topics(Admin(empty=float("inf")), LoginErrors(), 0.05)
    assert caught.value.args[0].code() == KafkaError.BROKER_NOT_AVAILABLE
