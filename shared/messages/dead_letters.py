"""The headers that a dead letter adds to its record: KIP-1191's six and more of the same family, and their reading.

The headers of the record come first, byte-identical. The added ones follow in the order of ``FIELDS``, every one of
them, empty where it does not apply: so a record that itself bears such headers, by malice or after a careless copy,
can't fake one. A reader takes what follows the last ``__dlq.errors.topic``, as ``split`` does; for a single header
that is the last one of its name.
"""

from collections.abc import Iterable, Mapping

from shared.messages.headers import DLQ

FIELDS = (
    "topic",
    "partition",
    "offset",
    "group",
    "delivery.count",
    "message",
    "class",
    "code",
    "exception.class",
    "exception.stacktrace",
    "stage",
    "host",
    "version",
    "timestamp",
    "original.timestamp",
    "traceparent",
    "replay.count",
    "job",
    "tenant",
    "department",
    "value.key",
    "value.sha256",
    "value.size",
    "omitted",
)
"""Names after ``__dlq.errors.``, in their order."""
_FIRST = DLQ + FIELDS[0]

RawHeader = tuple[str, bytes | None]


def dead_letter_headers_of(fields: Mapping[str, str]) -> list[RawHeader]:
    """The added headers in their order, UTF-8; a field that is not given is empty.

    A text may hold surrogates, for example of a file name that is not UTF-8: they become question marks.
    """
    return [(DLQ + name, fields.get(name, "").encode(errors="replace")) for name in FIELDS]


def split(headers: Iterable[RawHeader] | None) -> tuple[list[RawHeader], dict[str, str]]:
    """The headers of the record itself, and the added fields by their names after ``__dlq.errors.``.

    A record that is no dead letter has no fields. Never raises.
    """
    given = list(headers or ())
    first = next((n for n in range(len(given) - 1, -1, -1) if given[n][0] == _FIRST), len(given))
    added = given[first:]
    fields = {
        name.removeprefix(DLQ): value.decode(errors="replace")
        for name, value in added
        if name.startswith(DLQ) and value is not None
    }
    return given[:first], fields
