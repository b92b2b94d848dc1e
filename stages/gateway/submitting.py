"""A request of a caller as a job spec: the tenant is that of the key, the job id that of the Idempotency-Key."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opentelemetry.baggage import get_all
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from pydantic import JsonValue, ValidationError

from shared.client import InvalidRequest, JobSpec
from shared.messages.codes import Code
from shared.messages.names import NAME
from shared.messages.refs import InputRef
from shared.messages.validation.errors import explain
from stages.gateway.caller import Caller
from stages.gateway.problems import Problem

IDEMPOTENCY_KEY = "idempotency-key"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
INPUTS = ("portrait", "speech")
DEPARTMENT = "department"


def job_id_of(caller: Caller, idempotency_key: str | None) -> str | None:
    """The job id that a repeat of a request finds again; None without a key. Raises Problem."""
    if idempotency_key is None:
        return None
    if _KEY.fullmatch(idempotency_key) is None:
        raise Problem(422, "INVALID_REQUEST", "Idempotency-Key has 1 to 255 printable ASCII characters",
                      field="Idempotency-Key")  # fmt: skip
    return hashlib.sha256(f"{caller.tenant}\n{idempotency_key}".encode()).hexdigest()[:32]


def department_of(baggage: str | None) -> str | None:
    """The entry ``department`` of the header, where it can be the name of a department."""
    if not baggage:
        return None
    entries = get_all(W3CBaggagePropagator().extract({"baggage": baggage}, Context()))
    department = str(entries.get(DEPARTMENT, "")).partition(";")[0].strip()
    return department if re.fullmatch(NAME, department) else None


def spec_of(
    caller: Caller,
    body: Mapping[str, JsonValue],
    files: Mapping[str, Path],
    idempotency_key: str | None = None,
    baggage: str | None = None,
) -> JobSpec:
    """The checked job spec of a request's body, with ``files`` for the inputs that came along.

    A request without a department gets that of ``baggage``, the header of W3C: of all its entries this one alone.

    Raises Problem and InvalidRequest, which name the field.
    """
    caller.may_speak_for(body.get("tenant"))
    for role in INPUTS:
        if role in files and body.get(role) is not None:
            raise Problem(422, "INVALID_REQUEST", f"{role} is given twice: as a file and as an object", field=role)
    portrait, speech = (files.get(role) or _reference(role, body) for role in INPUTS)
    fields = {name: value for name, value in body.items() if name not in INPUTS}
    fields["tenant"] = caller.tenant
    if fields.get("department") is None and (department := department_of(baggage)) is not None:
        fields["department"] = department
    derived = job_id_of(caller, idempotency_key)
    if derived is not None:
        if fields.get("job_id") not in (None, derived):
            raise Problem(422, "INVALID_REQUEST", "job_id and Idempotency-Key both name the job: send one of them",
                          field="job_id")  # fmt: skip
        fields["job_id"] = derived
    return JobSpec.of_fields(portrait, speech, fields)


def _reference(role: str, body: Mapping[str, Any]) -> InputRef:
    value = body.get(role)
    if value is None:
        raise InvalidRequest(f"{role} is missing", "name an object, or send the file as multipart/form-data",
                             field=role)  # fmt: skip
    try:
        return InputRef.model_validate(value)
    except ValidationError as e:
        problem = explain(e, InputRef, role)
        raise Problem(422, str(Code.INVALID_REQUEST), problem.message, field=problem.field, allowed=problem.allowed) \
            from None  # fmt: skip
