"""Dead letters as lines of JSON and back, byte for byte: to keep them, or to take them to another deployment."""

import binascii
import hashlib
import json
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from shared.client.connection import Connection
from shared.client.dead_letters import scan
from shared.client.dead_letters.dead_letter import Headers
from shared.client.dead_letters.listing import Listed
from shared.client.dead_letters.sending import Chain, Outbound, Sender
from shared.client.errors import BrokerUnreachable, InvalidRequest
from shared.messages.topics import DLQ

FORMAT = "lipstage.dead-letter.v1"


def encode(one: Listed) -> dict[str, Any]:
    """A dead letter as a JSON object; key, value and header values are base64, or null."""
    dead = one.dead
    return {
        "format": FORMAT,
        "id": dead.id,
        "time_ms": dead.timestamp_ms,
        "state": str(one.state),
        "stage": dead.stage,
        "code": dead.code,
        "tenant": one.tenant,
        "job_id": one.job_id,
        "key": _text(dead.key),
        "value": _text(dead.value),
        "headers": [[name, _text(value)] for name, value in dead.headers],
    }


def decode(line: str, number: int) -> tuple[bytes | None, bytes | None, Headers]:
    """Key, value and headers of one line. Raises InvalidRequest, which names the line."""
    try:
        body = json.loads(line)
        if body["format"] != FORMAT:
            raise ValueError(f"its format is {body['format']!r}, not {FORMAT!r}")
        headers = [(str(name), _bytes(value)) for name, value in body["headers"]]
        return _bytes(body["key"]), _bytes(body["value"]), headers
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as e:
        raise InvalidRequest(f"line {number} is not an exported dead letter: {type(e).__name__}: {e}") from None


def read(lines: Iterable[str]) -> Iterator[tuple[bytes | None, bytes | None, Headers]]:
    """The records of a file; empty lines are left out. Raises InvalidRequest."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield decode(line, number)


def write(connection: Connection, lines: Iterable[str], *, force: bool = False) -> tuple[Counter[str], tuple[str, ...]]:
    """Write records to ``render.dlq`` as new dead letters.

    A record that is there already, byte for byte, is refused, unless ``force``: it would be replayed twice. Returns
    counts (imported, refused, failed) and the first reasons of failures. Raises InvalidRequest for a malformed line,
    with all lines before it written; BrokerUnreachable, TopicMissing.
    """
    topic, counts, errors = connection.topic(DLQ), Counter[str](), list[str]()
    known = {_digest(d.key, d.value, d.headers) for d in scan.dead_letters(connection, scan.ranges(connection, topic))}
    sender = Sender(connection.raw_producer)

    def ended(error: str | None) -> None:
        counts["failed" if error else "imported"] += 1
        if error and len(errors) < 10:
            errors.append(error)

    try:
        for key, value, headers in read(lines):
            digest = _digest(key, value, headers)
            if digest in known and not force:
                counts["refused"] += 1
                continue
            known.add(digest)
            sender.submit(Chain(Outbound(topic, key, value, headers), (), ended, size=len(value or b"")))
            if sender.away is not None:
                break
    finally:
        sender.drain()
    if sender.away is not None:
        raise BrokerUnreachable(f"the broker stopped answering: {sender.away}; {counts['imported']} are imported")
    return counts, tuple(errors)


def _digest(key: bytes | None, value: bytes | None, headers: Headers) -> bytes:
    """16 bytes that stand for a record."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (key, value, *(one for name, text in headers for one in (name.encode(errors="replace"), text))):
        digest.update(b"-" if part is None else f"{len(part)}:".encode() + part)
    return digest.digest()


def _text(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


def _bytes(text: Any) -> bytes | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise ValueError("key, value and header values are base64 texts or null")
    return b64decode(text, validate=True)
