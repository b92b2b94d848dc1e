"""Byte ranges of HTTP (RFC 9110): which part of an object a request asks for."""

import re

from shared.client.results import Span
from stages.gateway.problems import Problem

_ONE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.IGNORECASE)


def asked(header: str | None, if_range: str | None, etag: str, size: int) -> Span | None:
    """The part that the request asks for; None: the whole object, also for several ranges, which may be refused so.

    ``if_range``: the part is wanted of the object with this ETag alone. Raises Problem with 416.
    """
    if header is None or (if_range is not None and if_range != etag):
        return None
    found = _ONE.fullmatch(header)
    if found is None or found[1] == found[2] == "":
        return None
    if found[1] == "":
        first, last = max(0, size - int(found[2])), size - 1
    else:
        first, last = int(found[1]), min(int(found[2]) if found[2] else size - 1, size - 1)
        if found[2] and int(found[2]) < first:
            return None
    if first >= size:
        raise Problem(416, "RANGE_NOT_SATISFIABLE", f"the file has {size} bytes", field="Range",
                      allowed=f"bytes 0 to {size - 1}", headers={"content-range": f"bytes */{size}"})  # fmt: skip
    return Span(first, last)


def is_unchanged(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has the object already."""
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in tags or "*" in tags
