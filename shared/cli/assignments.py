"""``--set name=value``: request fields as they are written on the command line."""

from collections.abc import Iterable

from shared.cli.errors import BadUse
from shared.client import request_fields
from shared.client.request_fields import Fields

RESERVED = {
    "portrait": "give the portrait as a file",
    "speech": "give the speech as a file",
    "job_id": "use --job-id",
    "engine": "use --engine",
    "tenant": "use --tenant",
    "params": "set one parameter, as params.dynamic_scale=1.2",
    "batch": "use submit --batch",
}
"""Fields that have an argument or an option of their own."""


def parse(assignments: Iterable[str], engine: str) -> Fields:
    """Fields of a request from ``name=value`` texts. Raises BadUse, InvalidRequest."""
    fields: Fields = {}
    for text in assignments:
        name, sign, value = text.partition("=")
        name = name.strip()
        if not sign or not name:
            raise BadUse(f"--set {text!r} is not of the form name=value", "for example --set dynamic_scale=1.2")
        if name in RESERVED:
            raise BadUse(f"--set can't change {name}", RESERVED[name])
        path = request_fields.resolve(name, engine)
        request_fields.put(fields, path, request_fields.value_of(path, value.strip()))
    return fields
