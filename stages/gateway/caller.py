"""Who calls: the tenant and the role of an API key; without a file of keys, everyone who reaches the loopback."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import structlog
from fastapi import Depends, Request

from shared.access import api_keys
from shared.access.api_keys import ApiKey, Role
from shared.client import JobKey
from shared.messages.names import DEFAULT_TENANT
from stages.gateway.problems import Problem, forbidden

COOKIE = "lipstage_key"
"""The page keeps the key in this cookie, so that event streams and videos have it, too."""
CHECK_S = 1.0
"""How often a change of the file is looked for, seconds."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a request speaks for."""

    tenant: str
    role: Role
    key_id: str
    """``loopback`` without keys."""

    @property
    def is_operator(self) -> bool:
        """Whether it may see and replay dead letters."""
        return self.role == "operator"

    def job(self, job_id: str) -> JobKey:
        """The key of a job of this caller's tenant: no other tenant's job can be named. Raises InvalidRequest."""
        return JobKey.parse(job_id, self.tenant)

    def may_speak_for(self, tenant: object) -> None:
        """Raises Problem when the request names another tenant than that of the key."""
        if tenant is not None and tenant != self.tenant:
            raise Problem(
                403,
                "TENANT_FORBIDDEN",
                "this API key speaks for another tenant",
                field="tenant",
                allowed=self.tenant,
            )


LOOPBACK = Caller(DEFAULT_TENANT, "operator", "loopback")


class Keys:
    """The keys of a file, read again when it changes; a file that can't be read any more keeps the last ones."""

    def __init__(self, path: Path) -> None:
        """Raises KeyFileInvalid, OSError."""
        self._path = path
        self._keys = {key.id: key for key in api_keys.read(path)}
        self._seen = self._signature()
        self._checked = time.monotonic()

    def find(self, text: str) -> ApiKey | None:
        """The valid key that the text is."""
        if time.monotonic() - self._checked > CHECK_S:
            self._checked = time.monotonic()
            self._reload()
        return api_keys.find(self._keys.values(), text, time.time_ns() // 1_000_000)

    def _signature(self) -> tuple[int, int, int]:
        status = self._path.stat()
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _reload(self) -> None:
        try:
            seen = self._signature()
            if seen != self._seen:
                self._keys = {key.id: key for key in api_keys.read(self._path)}
                self._seen = seen
                log.info("api_keys_read", keys=len(self._keys))
        except (OSError, api_keys.KeyFileInvalid) as e:
            log.warning("api_keys_unreadable", reason=str(e))


def authenticate(keys: Keys | None, text: str | None) -> Caller:
    """The caller of a key's text. Raises Problem UNAUTHENTICATED."""
    if keys is None:
        return LOOPBACK
    key = keys.find(text) if text else None
    if key is None:
        what = "the API key is not known, has expired or was revoked" if text else "an API key is needed"
        raise Problem(401, "UNAUTHENTICATED", what, hint="send it as Authorization: Bearer KEY")
    return Caller(key.tenant, key.role, key.id)


def key_of(request: Request) -> str | None:
    """The text of the key that a request carries: of the header, else of the page's cookie."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" and text else request.cookies.get(COOKIE)


async def caller_of(request: Request) -> Caller:
    """Dependency of every route of the API: the caller, within its rate. Raises Problem.

    A coroutine, as below: FastAPI would run a plain function in a thread, and rates and keys are of the event loop.
    """
    caller = authenticate(request.app.state.keys, key_of(request))
    request.app.state.rates.take(caller)
    return caller


async def operator_of(caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
    """Dependency of the routes for operators. Raises Problem FORBIDDEN."""
    if not caller.is_operator:
        raise forbidden("this needs the API key of an operator")
    return caller


AnyCaller = Annotated[Caller, Depends(caller_of)]
Operator = Annotated[Caller, Depends(operator_of)]

__all__ = ["COOKIE", "LOOPBACK", "AnyCaller", "Caller", "Keys", "Operator", "authenticate", "key_of"]
