"""Requests to a source of traces, with the errors that they can end with."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, urlencode

from shared.client.errors import TracesRefused, TracesUnreachable

ANSWER_S = 30.0
MAX_ANSWER_BYTES = 256 << 20
_REASON_CHARACTERS = 300


def quoted(part: str) -> str:
    """A part of a path."""
    return quote(part, safe="")


def get(url: str, asked: Mapping[str, object] | None = None, accept: str = "application/json") -> bytes | None:
    """The body of an answer; None when there is nothing under the address. Raises TracesUnreachable, TracesRefused."""
    full = f"{url}?{urlencode(asked)}" if asked else url
    host = url.split("/", 3)[2] if url.count("/") >= 3 else url
    try:
        request = urllib.request.Request(full, headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            body: bytes = answer.read(MAX_ANSWER_BYTES + 1)
    except urllib.error.HTTPError as e:
        if e.code == 404:
            return None
        with e:
            reason = " ".join(e.read(2000).decode(errors="replace").split())[:_REASON_CHARACTERS]
        raise TracesRefused(f"{host} refuses the query for traces: {e.code} {reason}".rstrip()) from None
    except (OSError, HTTPException, ValueError) as e:
        raise TracesUnreachable(f"{host} does not answer queries for traces: {e}") from None
    if len(body) > MAX_ANSWER_BYTES:
        raise TracesRefused(f"the answer of {host} is larger than {MAX_ANSWER_BYTES >> 20} MiB")
    return body


def get_json(url: str, asked: Mapping[str, object] | None = None) -> Any:
    """The answer as a JSON value. Raises TracesRefused when there is none: another program answers there."""
    body = get(url, asked)
    try:
        if body is not None:
            return json.loads(body)
    except ValueError:
        pass
    raise TracesRefused(f"the collector at {url.rpartition('/')[0]} answers no queries for traces")
