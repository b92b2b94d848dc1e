"""The endpoints of tenants: one document for each tenant in the artifact bucket, without a secret.

One document and not one for each endpoint: the end of a render reads them with one request, and the limit holds for
tenants that register at several gateways at once.
"""

import secrets
import time
from collections.abc import Callable
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.messages.webhook import EventType
from shared.storage import keys
from shared.storage.errors import ArtifactAltered
from shared.storage.protocols import Documents

MAX_DESCRIPTION = 200
CLOCKS_MS = 60_000
"""How far the clocks of a stage and of a gateway may differ, milliseconds."""
ALL_EVENTS: tuple[EventType, ...] = get_args(EventType)
RACES = 20
"""How often a change is tried while other writers change the same document."""
Description = Annotated[str, Field(max_length=MAX_DESCRIPTION, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Disabled(BaseModel):
    """Why an endpoint gets nothing any more."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    reason: str
    since_ms: int


class Endpoint(BaseModel):
    """One endpoint of a tenant."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    url: str
    events: tuple[EventType, ...] = ALL_EVENTS
    description: str = ""
    created_ms: int
    disabled: Disabled | None = None

    @classmethod
    def new(cls, url: str, events: tuple[EventType, ...], description: str) -> "Endpoint":
        """An endpoint that is registered now."""
        return cls(
            id=f"wh_{secrets.token_hex(12)}",
            url=url,
            events=events,
            description=description,
            created_ms=time.time_ns() // 1_000_000,
        )

    def wants(self, event_type: str, time_ms: int) -> bool:
        """Whether it is to be told of an event of this time: not of one from before it was registered, so that an
        endpoint is not told of 30 days of renders when a group reads the events from their beginning."""
        return self.disabled is None and event_type in self.events and time_ms >= self.created_ms - CLOCKS_MS


class TooManyEndpoints(Exception):
    """The tenant has as many endpoints as it may."""


class _Listed(BaseModel):
    endpoints: tuple[Endpoint, ...] = ()


_LISTED = TypeAdapter(_Listed)
Change = Callable[[tuple[Endpoint, ...]], tuple[Endpoint, ...]]


class Endpoints:
    """Reads and changes the documents. Every method raises StorageError: StoreUnavailable when the object store fails,
    ArtifactAltered for a document that can't be read."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def of(self, tenant: str) -> tuple[Endpoint, ...]:
        """The endpoints of a tenant, the oldest first."""
        return _parsed(self._documents.get(keys.webhook_endpoints(tenant)))

    def find(self, tenant: str, endpoint: str) -> Endpoint | None:
        """One endpoint; None where the tenant has no such one."""
        return next((one for one in self.of(tenant) if one.id == endpoint), None)

    def add(self, tenant: str, endpoint: Endpoint, limit: int) -> None:
        """Register an endpoint. Raises TooManyEndpoints."""

        def added(known: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
            if any(one.id == endpoint.id for one in known):
                return known
            if len(known) >= limit:
                raise TooManyEndpoints
            return *known, endpoint

        self._change(tenant, added)

    def remove(self, tenant: str, endpoint: str) -> bool:
        """Forget an endpoint; False where the tenant has no such one."""
        found = False

        def removed(known: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
            nonlocal found
            rest = tuple(one for one in known if one.id != endpoint)
            found = found or len(rest) < len(known)
            return rest

        self._change(tenant, removed)
        return found

    def disable(self, tenant: str, endpoint: str, reason: str) -> None:
        """Send nothing more to an endpoint; nothing where it is disabled, or gone."""
        off = Disabled(reason=reason, since_ms=time.time_ns() // 1_000_000)

        def disabled(known: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
            return tuple(
                one.model_copy(update={"disabled": off}) if one.id == endpoint and one.disabled is None else one
                for one in known
            )

        self._change(tenant, disabled)

    def _change(self, tenant: str, change: Change) -> None:
        """Replace the list by a changed one, whoever else changes it meanwhile."""
        key = keys.webhook_endpoints(tenant)
        for _ in range(RACES):
            stored = self._documents.get(key)
            known = _parsed(stored)
            after = change(known)
            if after == known:
                return
            value: Any = _Listed(endpoints=after).model_dump(mode="json", exclude_none=True)
            if stored is None:
                if self._documents.put_once(key, value):
                    return
            elif self._documents.replace(key, stored, value):
                return
        raise ArtifactAltered(f"{key} is changed by too many writers at once")


def _parsed(value: object) -> tuple[Endpoint, ...]:
    """Raises ArtifactAltered."""
    if value is None:
        return ()
    try:
        return _LISTED.validate_python(value).endpoints
    except ValidationError as e:
        raise ArtifactAltered(f"the endpoints of a tenant can't be read: {e.error_count()} faults") from None
