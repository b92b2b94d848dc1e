"""Stages that no service consumes are found by the members of their consumer groups."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import cimpl

from shared.client import Client
from shared.client.connection import Connection
from shared.client.consumers import stages_without_consumers
from shared.runtime.settings import RuntimeSettings


@contextmanager
def member(settings: RuntimeSettings, group: str, topic: str, protocol: str) -> Iterator[None]:
    """A member of a group, from its first assignment on."""
    assigned: list[bool] = []
    consumer = cimpl.Consumer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "group.id": settings.group(group),
            "group.protocol": protocol,
        }
    )
    consumer.subscribe([settings.topic(topic)], on_assign=lambda *_: assigned.append(True))
    try:
        while not assigned:
            consumer.poll(0.1)
        yield
    finally:
        consumer.close()


def test_stages_whose_group_has_no_member_are_returned_in_order(deployment: Connection, client: Client) -> None:
    settings = deployment.settings
    assert client.stages_without_consumers() == ("audio", "face", "infer", "encode"), "no group exists yet"
    with (
        member(settings, "audio", "render.requests", "consumer"),
        member(settings, "infer.puppet", "render.infer.puppet", "classic"),
    ):
        assert client.stages_without_consumers() == ("face", "encode")
        assert client.stages_without_consumers("sonic") == ("face", "infer", "encode"), "engines have their own groups"
    assert client.stages_without_consumers() == ("audio", "face", "infer", "encode"), "the groups are empty"


def test_a_broker_that_does_not_answer_names_no_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.client.consumers.ANSWER_S", 0.2)
    assert stages_without_consumers(RuntimeSettings(bootstrap_servers="127.0.0.1:1")) == ()
