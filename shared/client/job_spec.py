"""What is to be rendered, checked on this machine before a byte is sent."""

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import JsonValue

from shared.client.errors import InvalidRequest
from shared.client.job_key import JobKey
from shared.client.local_files import FileLimits
from shared.messages.codes import Code, Rejected
from shared.messages.engines import DEFAULT_ENGINE
from shared.messages.lanes import BULK, INTERACTIVE, Lane
from shared.messages.names import DEFAULT_TENANT, NAME
from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.messages.validation import check_engine_params, check_tenant, parse_request

IDENTITY = ("job_id", "tenant")
"""Fields that have a default here."""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """Two inputs and the other fields of a render request, valid as far as this machine can check."""

    job_id: str
    portrait: Path | InputRef
    """A local file, which is uploaded, or an object that is in an input bucket."""
    speech: Path | InputRef
    fields: Mapping[str, JsonValue]
    """The request without portrait and speech; job id and tenant are always set."""

    @classmethod
    def checked(cls, portrait: Path, speech: Path, fields: Mapping[str, JsonValue], limits: FileLimits) -> Self:
        """Check files and fields; no service is contacted.

        A ``job_id`` that is missing or None becomes a fresh one, such a ``tenant`` the default. Raises
        InvalidRequest, which names the file or the field.
        """
        limits.check(portrait, "portrait")
        limits.check(speech, "speech")
        return cls.of_fields(portrait, speech, fields)

    @classmethod
    def of_fields(cls, portrait: Path | InputRef, speech: Path | InputRef, fields: Mapping[str, JsonValue]) -> Self:
        """As ``checked``; files are not looked at, and objects are not looked up: the services do. Raises
        InvalidRequest, which names the field."""
        given = {name: value for name, value in fields.items() if value is not None or name not in IDENTITY}
        complete = {"tenant": DEFAULT_TENANT, **given}
        job_id = str(complete.setdefault("job_id", new_job_id()))
        # The keys are not known yet. A bad tenant name must be reported for the field, not for a key made of it.
        tenant = str(complete["tenant"])
        pending = InputRef(key=f"{tenant if re.fullmatch(NAME, tenant) else DEFAULT_TENANT}/pending")
        inputs = [source if isinstance(source, InputRef) else pending for source in (portrait, speech)]
        try:
            request = _parsed(complete, *inputs)
            check_tenant(request)
            check_engine_params(request)
        except Rejected as e:
            # Which engines run is known to the deployment alone.
            if e.code != Code.ENGINE_UNAVAILABLE:
                hint = f"allowed: {e.allowed}; nothing was sent" if e.allowed else "nothing was sent"
                raise InvalidRequest(e.message, hint, field=e.field, allowed=e.allowed, code=e.code) from None
        return cls(job_id, portrait, speech, complete)

    @property
    def key(self) -> JobKey:
        """The job's name."""
        return JobKey(str(self.fields["tenant"]), self.job_id)

    @property
    def engine(self) -> str:
        """The engine that animates."""
        return str(self.fields.get("engine", DEFAULT_ENGINE))

    @property
    def lane(self) -> Lane:
        """The lane whose topic gets the request: the one that is named, else bulk for a job of a batch.

        The default of a batch is not written into the request: a batch that a version without lanes has submitted
        stays the same requests.
        """
        named = self.fields.get("lane")
        return BULK if named == BULK or (named is None and "batch" in self.fields) else INTERACTIVE

    def request(self, portrait: InputRef, speech: InputRef) -> RenderRequest:
        """The request, once both files are in storage."""
        return _parsed(self.fields, portrait, speech)


def new_job_id() -> str:
    """A fresh random id: 32 hex digits."""
    return uuid.uuid4().hex


def _parsed(fields: Mapping[str, JsonValue], portrait: InputRef, speech: InputRef) -> RenderRequest:
    """The request, read by the services' own parser. Raises Rejected, InvalidRequest."""
    inputs = {"portrait": portrait.model_dump(exclude_none=True), "speech": speech.model_dump(exclude_none=True)}
    try:
        # In one order, so that the same labels and parameters in another order are the same request.
        body = json.dumps({**fields, **inputs}, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as e:  # A Path, a set, a list that holds itself.
        raise InvalidRequest(f"a field has a value that JSON can't represent: {e}", "nothing was sent") from None
    if "\\ud" in body:
        _check_text(fields)
    return parse_request(body.encode())


def _check_text(fields: Mapping[str, JsonValue]) -> None:
    """Raises InvalidRequest for the field that holds half of a surrogate pair, which no UTF-8 text can represent."""
    for name, value in fields.items():
        members = value.items() if isinstance(value, dict) else ()
        for field, part in [*((f"{name}.{member}", {member: inner}) for member, inner in members), (name, value)]:
            try:
                json.dumps(part, ensure_ascii=False).encode()
            except UnicodeEncodeError as e:
                half = f"\\u{ord(e.object[e.start]):04x}"
                shown = field.encode("utf-8", "backslashreplace").decode()
                raise InvalidRequest(
                    f"{shown} holds {half}, half of a character, which UTF-8 can't represent",
                    "nothing was sent",
                    field=field,
                ) from None
