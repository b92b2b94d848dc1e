"""Names of the topics of one tenant: none can be read in two ways, and the subscription matches exactly these."""

import re

import pytest

from shared.messages.lanes import BULK, INTERACTIVE, lane_of
from shared.messages.names import NAME
from shared.messages.tenant_topics import (
    cancels_of,
    events_of,
    name_fault,
    request_topics,
    requests_of,
    subscription,
    takes_requests,
    tenants_among,
    topics_of_tenant,
    without_tenant,
)
from shared.messages.topics import REQUEST_TOPICS, topics
from shared.runtime.settings import RuntimeSettings

TENANTS = ("a", "acme", "acme2", "a-b_c", "9", "x" * 63)


@pytest.mark.parametrize("tenant", TENANTS)
def test_topics_of_a_tenant_name_it(tenant: str) -> None:
    names = [topic.name for topic in topics_of_tenant("", tenant, 4)]
    assert [requests_of(name) for name in names] == [tenant, tenant, None, None]
    assert [cancels_of(name) for name in names] == [None, None, tenant, None]
    assert [events_of(name) for name in names] == [None, None, None, tenant]
    assert [lane_of(name) for name in request_topics(tenant)] == [INTERACTIVE, BULK]
    assert max(len(f"{'p' * 64}{name}") for name in names) <= 249


def test_shared_topics_are_no_tenants() -> None:
    assert tenants_among(topic.name for topic in topics("", ("puppet",))) == []
    assert all(takes_requests(name) and requests_of(name) is None for name in REQUEST_TOPICS)


@pytest.mark.parametrize(
    "tenant", ["bulk", "unverified", "a_bulk", "", "A", "a.b", "a/b", "-a", "x" * 64, "a\n", "ä", ".."]
)
def test_name_that_could_be_another_topic_is_refused(tenant: str) -> None:
    assert name_fault(tenant) is not None
    with pytest.raises(ValueError, match=r"tenant|name"):
        topics_of_tenant("", tenant, 4)


def test_names_do_not_collide_for_kafka_which_takes_dot_and_underscore_for_one() -> None:
    names = [topic.name for tenant in (*TENANTS, "a_bulk2", "b") for topic in topics_of_tenant("", tenant, 4)]
    names += [topic.name for topic in topics("", ("puppet",))]
    assert len({name.replace(".", "_") for name in names}) == len(names)


@pytest.mark.parametrize("prefix", ["", "staging.", "a-b."])
def test_subscription_matches_the_topics_of_requests_and_no_other(prefix: str) -> None:
    pattern = re.compile(subscription(prefix))
    own = [*REQUEST_TOPICS, *(name for tenant in TENANTS for name in request_topics(tenant))]
    assert all(pattern.fullmatch(prefix + name) for name in own)
    others = [topic.name for topic in topics("", ("puppet",)) if topic.name not in REQUEST_TOPICS]
    others += ["render.requestsx", "render.requests.a.b", "xrender.requests", "render.requests.A", "render-requests"]
    assert not [name for name in others if pattern.fullmatch(prefix + name)]


def test_every_tenant_is_safe_as_a_part_of_keys_and_topics() -> None:
    allowed = {chr(c) for c in range(0x110000) if re.fullmatch(NAME, "a" + chr(c))}
    assert allowed == set("abcdefghijklmnopqrstuvwxyz0123456789_-")


@pytest.mark.parametrize("prefix", ["", "staging."])
def test_spans_have_no_tenant_in_their_name(prefix: str) -> None:
    for shared, own in zip(REQUEST_TOPICS, request_topics("acme"), strict=True):
        assert without_tenant(prefix + own) == prefix + shared == without_tenant(prefix + shared)
    assert without_tenant(f"{prefix}render.events.acme") == f"{prefix}render.events"
    assert without_tenant("render.face.bulk") == "render.face.bulk"


def test_settings_name_the_topic_of_a_tenant() -> None:
    own = RuntimeSettings(topic_prefix="p.", tenancy="topic")
    assert own.topic_of("render.events", "acme") == "p.render.events.acme"
    assert own.topic_of("render.events", "unverified") == "p.render.events"
    assert RuntimeSettings(topic_prefix="p.").topic_of("render.events", "acme") == "p.render.events"
