"""What is to be rendered, checked on this machine before a byte is sent."""

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from shared.cli import local_files
from shared.cli.errors import BadUse
from shared.messages.codes import Code, Rejected
from shared.messages.names import DEFAULT_TENANT, JOB_ID, NAME
from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.messages.validation import check_engine_params, check_tenant, parse_request


@dataclass(frozen=True, slots=True)
class Order:
    """Two local files and the request's other fields, valid as far as this machine can tell."""

    job_id: str
    portrait: Path
    speech: Path
    fields: Mapping[str, JsonValue]

    @property
    def tenant(self) -> str:
        """Whose job it is."""
        return str(self.fields["tenant"])

    def request(self, portrait: InputRef, speech: InputRef) -> RenderRequest:
        """The request, once both files are in storage."""
        return _request(self.fields, portrait, speech)


def new_job_id() -> str:
    """A fresh id: 32 hex digits, random."""
    return uuid.uuid4().hex


def checked(
    portrait: Path, speech: Path, fields: Mapping[str, JsonValue], *, max_portrait_mb: int, max_speech_mb: int
) -> Order:
    """An order that can be submitted; ``fields`` without portrait and speech.

    A missing ``job_id`` gets a fresh one, a missing ``tenant`` the default. Raises BadUse naming file or field; nothing
    is contacted.
    """
    local_files.checked(portrait, "portrait", max_portrait_mb)
    local_files.checked(speech, "speech", max_speech_mb)
    complete = {"tenant": DEFAULT_TENANT, **fields}
    job_id = str(complete.setdefault("job_id", new_job_id()))
    # A tenant that can be none is not a key's to complain about: the request's own reader names the field.
    tenant = str(complete["tenant"])
    pending = InputRef(key=f"{tenant if re.fullmatch(NAME, tenant) else DEFAULT_TENANT}/pending")
    try:
        request = _request(complete, pending, pending)
        check_tenant(request)
        check_engine_params(request)
    except Rejected as error:
        # Whether an engine runs here is the deployment's to say.
        if error.code != Code.ENGINE_UNAVAILABLE:
            raise _refused(error.message, error.allowed) from None
    return Order(job_id, portrait, speech, complete)


def _request(fields: Mapping[str, JsonValue], portrait: InputRef, speech: InputRef) -> RenderRequest:
    """Through JSON and the services' own reader. Raises Rejected."""
    both = {"portrait": portrait.model_dump(exclude_none=True), "speech": speech.model_dump(exclude_none=True)}
    return parse_request(json.dumps({**fields, **both}).encode())


def _refused(message: str, allowed: str | None) -> BadUse:
    return BadUse(message, f"allowed: {allowed}; nothing was sent" if allowed else "nothing was sent")


def checked_job_id(text: str) -> str:
    """A text that can be a job's id. Raises BadUse."""
    if re.fullmatch(JOB_ID, text) is None:
        raise BadUse(f"{text!r} is no job id", "a job id has 1 to 64 of A-Z, a-z, 0-9, _ and -")
    return text


def checked_tenant(text: str) -> str:
    """A text that can be a tenant's name. Raises BadUse."""
    if re.fullmatch(NAME, text) is None:
        raise BadUse(f"{text!r} is no tenant", "a tenant has 1 to 63 of a-z, 0-9, _ and -, and no sign in front")
    return text
