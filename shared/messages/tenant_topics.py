"""The topics of one tenant, in deployments that give each tenant topics of its own (LIPSTAGE_TENANCY=topic).

A tenant's topics have the names of the shared ones, followed by the tenant: ``render.requests.acme``,
``render.requests.acme.bulk``, ``render.cancel.acme`` and ``render.events.acme``. A tenant's name has no dot, so that no
name can be read in two ways. All functions take and return names without the deployment's prefix.
"""

import re
from collections.abc import Iterable

from shared.messages.lanes import LANES, lane_topic
from shared.messages.names import NAME
from shared.messages.topics import CANCEL, EVENTS, EVENTS_DAYS, REQUEST_TOPICS, REQUESTS, Topic, topics

UNVERIFIED = "unverified"
"""The tenant of the event for a request whose sender has not shown for whom it speaks; no tenant may have this name."""
RESERVED = frozenset({"bulk", UNVERIFIED})
"""``render.requests.bulk`` is the shared topic of the bulk lane."""
_BULK_ENDING = "_bulk"
_TENANT = NAME.removeprefix("^").removesuffix("$")
_REQUESTS = re.compile(rf"{re.escape(REQUESTS)}\.({_TENANT})(?:\.bulk)?")
_SHARED = "|".join(map(re.escape, (REQUESTS, CANCEL, EVENTS)))
_OF_TENANT = re.compile(rf"(.*(?:{_SHARED}))\.({_TENANT})((?:\.bulk)?)")
_CANCEL = re.compile(rf"{re.escape(CANCEL)}\.({_TENANT})")
_EVENTS = re.compile(rf"{re.escape(EVENTS)}\.({_TENANT})")


def tenant_topic(topic: str, tenant: str) -> str:
    """The tenant's own topic in place of a shared one: of requests (interactive lane), cancel commands or events."""
    return f"{topic}.{tenant}"


def requests_of(topic: str) -> str | None:
    """The tenant whose requests the topic takes; None for the shared topics and for any other."""
    return _tenant(_REQUESTS, topic)


def cancels_of(topic: str) -> str | None:
    """The tenant whose cancel commands the topic takes; None for the shared topic and for any other."""
    return _tenant(_CANCEL, topic)


def events_of(topic: str) -> str | None:
    """The tenant whose events the topic has; None for the shared topic and for any other."""
    return _tenant(_EVENTS, topic)


def takes_requests(topic: str) -> bool:
    """Whether the topic takes requests, of all tenants or of one."""
    return topic in REQUEST_TOPICS or requests_of(topic) is not None


def takes_cancels(topic: str) -> bool:
    """Whether the topic takes cancel commands, of all tenants or of one."""
    return topic == CANCEL or cancels_of(topic) is not None


def request_topics(tenant: str) -> tuple[str, ...]:
    """The tenant's topics of requests, one a lane, the interactive one first."""
    return tuple(lane_topic(tenant_topic(REQUESTS, tenant), lane) for lane in LANES)


def without_tenant(topic: str) -> str:
    """The shared topic in place of one of a tenant's, with or without the deployment's prefix; any other name as it is.
    For names of spans and labels of metrics, of which there must not be one for each tenant."""
    match = _OF_TENANT.fullmatch(topic)
    return topic if match is None or match[2] in RESERVED else match[1] + match[3]


def tenants_among(names: Iterable[str]) -> list[str]:
    """The tenants that have topics of requests or events among these names, sorted."""
    return sorted({tenant for name in names for tenant in (requests_of(name), events_of(name)) if tenant is not None})


def subscription(prefix: str) -> str:
    """The pattern for which a consumer group gets every topic of requests, with those of tenants that are added later.

    A regular expression for the broker (RE2/J, the whole name must match) and for librdkafka (POSIX). The shared topics
    are among them: a request that is sent there must be answered.
    """
    return f"^{(prefix + REQUESTS).replace('.', '[.]')}([.]{_TENANT})?([.]bulk)?$"


def name_fault(tenant: str) -> str | None:
    """Why a tenant of this name can't have topics of its own; None when it can."""
    if re.fullmatch(NAME, tenant) is None:
        return "a tenant has 1 to 63 of a-z, 0-9, _ and -, and begins with a letter or digit"
    if tenant in RESERVED:
        return f"the name {tenant} is reserved"
    if tenant.endswith(_BULK_ENDING):
        return (
            f"a name that ends with {_BULK_ENDING} collides with a topic of the bulk lane: Kafka takes . and _ for one"
        )
    return None


def topics_of_tenant(prefix: str, tenant: str, partitions: int, *, events_days: int = EVENTS_DAYS) -> tuple[Topic, ...]:
    """The tenant's topics; ``partitions`` is the number of partitions of each, ``events_days`` the retention of its
    events. Raises ValueError for a name that can have none."""
    if (fault := name_fault(tenant)) is not None:
        raise ValueError(fault)
    shared = {topic.name: topic for topic in topics("", (), events_days=events_days)}
    names = {
        **dict(zip(request_topics(tenant), REQUEST_TOPICS, strict=True)),
        tenant_topic(CANCEL, tenant): CANCEL,
        tenant_topic(EVENTS, tenant): EVENTS,
    }
    return tuple(
        Topic(prefix + name, partitions, shared[of].config, f"{shared[of].description} of the tenant {tenant}")
        for name, of in names.items()
    )


def _tenant(pattern: re.Pattern[str], topic: str) -> str | None:
    match = pattern.fullmatch(topic)
    return match[1] if match is not None and match[1] not in RESERVED else None
