"""The real broker and object store, once per test session; services where a test requests them."""

import importlib.util
import os
import time
import uuid
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from shared.local import broker, store, supervision
from shared.local import stack as local
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack
from shared.runtime import admin_process
from shared.runtime.settings import RuntimeSettings
from shared.runtime.topic_admin import required_topics
from shared.telemetry import attributes

ROOT = Path(__file__).resolve().parents[1]
LEADERS_S = 60.0
"""How long the leaders of new partitions may take to answer, seconds."""
APPLY_S = 120.0
"""How long `lipstage topics apply` may take here, seconds."""
FEW = 4
"""Partitions of a topic where a test needs no more: each costs the broker two files to make and to delete."""
attributes.strict = True
"""An unregistered span attribute fails the test that sets it."""
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")
"""How long an example takes depends on what else the machine does."""
# `make test-sonic` runs them, in the environment with torch.
collect_ignore = [] if importlib.util.find_spec("torch") else ["sonic", "parity"]


@dataclass(frozen=True)
class Infrastructure:
    """A running broker, object store and trace receiver."""

    settings: LocalSettings
    stack: Stack
    environment: dict[str, str]

    @property
    def bootstrap_servers(self) -> str:
        return self.stack.bootstrap_servers

    @property
    def s3_endpoint_url(self) -> str:
        return self.stack.s3_endpoint_url


_started: list[Stack] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files whose tests need the services last: services that wait take a sixth of a core."""
    last = {item.path for item in items if "pipeline" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path in last)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """End the session once the broker or the object store has given up: each further test would fail after minutes."""
    report = yield
    if report.failed and (reason := _given_up()):
        pytest.exit(f"after {item.nodeid}: {reason}", 1)
    return report


def _given_up() -> str | None:
    """Why broker or object store of the session won't come back; None while they may."""
    for started in _started:
        # Some tests kill the supervisor, and the next one starts it again.
        with suppress(*supervision.FAULTS):
            for program in started.supervisor().programs():
                if program.name in (broker.NAME, store.NAME) and program.state == "FATAL":
                    return f"{program.name} of the tests does not start again: {program.detail}"
    return None


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Infrastructure]:
    """Start a broker, an object store and a trace receiver, whatever the caller's environment; always stop them."""
    jars = Path(os.environ.get("LIPSTAGE_JARS_DIR", ROOT / ".lipstage" / "jars"))
    settings = LocalSettings(
        state_dir=tmp_path_factory.mktemp("stack"),
        jars_dir=jars,
        kafka_bootstrap_servers="",
        s3_endpoint_url="",
        otlp_endpoint="",
    )
    started = local.up(settings, services=False)
    _started.append(started)
    environment = started.environment(local.credentials_of(started)) | {"LIPSTAGE_JARS_DIR": str(jars)}
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield Infrastructure(settings, started, environment)
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        local.down(settings, purge=True)


@contextmanager
def temporary_topics(bootstrap_servers: str) -> Iterator[str]:
    """A prefix that nothing else uses; at the end its topics are deleted.

    The broker maps two files of every partition into its memory; Linux allows 65 530 maps to a process, and a broker
    that gets no more ends.
    """
    prefix = f"t{uuid.uuid4().hex[:8]}."
    yield prefix
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    names = [name for name in admin.list_topics(timeout=60).topics if name.startswith(prefix)]
    if names:
        for future in admin.delete_topics(names, operation_timeout=60).values():
            future.result(60)


def create_topics(settings: RuntimeSettings) -> None:
    """The topics of a deployment, with few partitions, once each of them has a leader that answers.

    `lipstage topics apply` makes 181 partitions and commits the start offsets of every group: seconds, hundreds of
    times, for what only services need.
    """
    admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers, "log_level": 0})
    wanted = [
        NewTopic(topic.name, num_partitions=min(topic.partitions, FEW), config=dict(topic.config))
        for topic in required_topics(settings)
    ]
    for future in admin.create_topics(wanted, operation_timeout=60).values():
        future.result(60)
    until = time.monotonic() + LEADERS_S
    # A consumer asks: the admin client's own list_offsets has crashed this process while leaders were elected.
    consumer = Consumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": "none", "log_level": 0})
    try:
        while fault := _leader_fault(consumer, wanted):
            if time.monotonic() > until:
                raise fault
    finally:
        consumer.close()


def _leader_fault(consumer: Consumer, topics: list[NewTopic]) -> KafkaException | None:
    """Why one of the partitions has no leader that answers; None when all have."""
    times = [TopicPartition(topic.topic, number, 0) for topic in topics for number in range(topic.num_partitions)]
    try:
        errors = [found.error for found in consumer.offsets_for_times(times, timeout=10) if found.error is not None]
    except KafkaException as e:
        return e
    return KafkaException(errors[0]) if errors else None


def apply_topics(settings: RuntimeSettings, tenants: Sequence[str] = ()) -> None:
    """As `lipstage topics apply`, and in a process of its own as there: the admin client crashes its process when the
    broker answers after the request was given up."""
    admin_process.ask(settings, "apply", APPLY_S, tenants=list(tenants))


@pytest.fixture
def topic_prefix(stack: Infrastructure) -> Iterator[str]:
    """A prefix that no other test uses."""
    with temporary_topics(stack.bootstrap_servers) as prefix:
        yield prefix
