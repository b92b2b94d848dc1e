"""Changes to a record before it is replayed: patches of request fields, a later deadline, a user's function."""

import copy
import difflib
import importlib.util
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from shared.client import request_fields
from shared.client.dead_letters.dead_letter import DeadLetter, Headers
from shared.client.errors import InvalidRequest
from shared.messages.codes import Rejected
from shared.messages.engines import DEFAULT_ENGINE
from shared.messages.task import MAX_ENVELOPE_BYTES, RenderTask
from shared.messages.validation import check_engine_params, parse_request
from shared.messages.validation.errors import explain

MAX_DEADLINE_S = 604_800
"""Of a request."""
Transform = Callable[[dict[str, Any]], dict[str, Any] | None]


class RewriteRefused(Exception):
    """The changed record is not valid; the text says why."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A record as it will be sent."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    """Without ``__dlq.errors.*``."""
    changed: bool
    """Whether the value differs from that of the failed record."""


@dataclass(frozen=True)
class Rewriter:
    """Applies the changes in this order: patches, deadline, transform."""

    topic_prefix: str
    patches: Sequence[tuple[str, str]] = ()
    """Field of the request and its new value, as on the command line: ``params.seed``, ``7``."""
    extend_deadline_s: float | None = None
    """The deadline of a request that has one becomes so many seconds from now."""
    transform: Transform | None = None

    def __post_init__(self) -> None:
        for name, _ in self.patches:
            if not name:
                raise InvalidRequest("a patch is of the form name=value", "for example --patch params.seed=7")

    def rewrite(self, dead: DeadLetter, value: bytes | None, now_ms: int) -> Rewritten | None:
        """The record to send; None when the transform leaves it out. ``value`` is the record's, wherever it lay.

        Raises RewriteRefused, and InvalidRequest for a patch of a field that no request has.
        """
        untouched = Rewritten(dead.key, value, dead.original_headers, changed=False)
        if not self.patches and self.extend_deadline_s is None and self.transform is None:
            return untouched
        try:
            before = json.loads((value or b"").decode())
        except (ValueError, RecursionError):
            before = None
        after = copy.deepcopy(before)
        is_request = dead.is_request(self.topic_prefix)
        request = after if is_request else after.get("request") if isinstance(after, dict) else None
        if isinstance(request, dict):
            self._patch(dead, request, after, is_request, now_ms)
        elif self.patches:
            raise RewriteRefused("the record holds no request to patch")
        key, headers = dead.key, dead.original_headers
        if self.transform is not None:
            result = self._transformed(dead, after, value)
            if result is None:
                return None
            key, after, headers = result
        if after == before and isinstance(after, type(before)) and before is not None:
            return Rewritten(key, value, headers, changed=False)
        new = after if isinstance(after, bytes) else _encoded(after)
        if new == value:
            return Rewritten(key, value, headers, changed=False)
        self._check(dead, key, new, headers, is_request)
        return Rewritten(key, new, headers, changed=True)

    def _patch(self, dead: DeadLetter, request: dict[str, Any], body: Any, is_request: bool, now_ms: int) -> None:
        engine = request.get("engine", DEFAULT_ENGINE)
        for name, text in self.patches:
            path = request_fields.resolve(name, engine if isinstance(engine, str) else DEFAULT_ENGINE)
            if len(path) == 2 and request.get(path[0]) is None:
                request[path[0]] = {}
            request_fields.put(request, path, request_fields.value_of(path, text))
        if self.extend_deadline_s is not None and request.get("deadline_s") is not None:
            age_s = 0.0 if is_request else max(0.0, (now_ms - submitted_ms(dead, body, is_request)) / 1000)
            if not is_request and age_s + self.extend_deadline_s > MAX_DEADLINE_S:
                # A deadline counts from the submission, and may be a week at most: count from now.
                body["submitted_ms"], age_s = now_ms, 0.0
            request["deadline_s"] = round(age_s + self.extend_deadline_s, 3)

    def _transformed(
        self, dead: DeadLetter, body: Any, value: bytes | None
    ) -> tuple[bytes | None, Any, Headers] | None:
        """Key, value and headers that the user's function returns; None to leave the record out."""
        assert self.transform is not None
        record = {
            "id": dead.id,
            "topic": dead.topic,
            "key": _text(dead.key),
            "headers": [[name, _text(one)] for name, one in dead.original_headers],
            "value": value if body is None else body,
            "failure": {name: one for name, one in dead.errors.items() if name != "exception.stacktrace"},
        }
        try:
            result = self.transform(record)
        except Exception as e:  # noqa: BLE001 - the function is the user's: one record must not end the run.
            raise RewriteRefused(f"the transform raised {type(e).__name__}: {e}") from None
        if result is None:
            return None
        try:
            returned: Any = result.get("headers", record["headers"])
            headers = [(str(name), _bytes(one)) for name, one in returned]
            return _bytes(result.get("key", record["key"])), result["value"], headers
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise RewriteRefused(f"the transform returned no record ({type(e).__name__}: {e})") from None

    def _check(
        self, dead: DeadLetter, key: bytes | None, value: bytes | None, headers: Headers, is_request: bool
    ) -> None:
        """Raises RewriteRefused for a value that its stage would not accept, and for one of another job."""
        if len(value or b"") > MAX_ENVELOPE_BYTES:
            raise RewriteRefused(f"the changed record has {len(value or b'')} bytes; at most {MAX_ENVELOPE_BYTES}")
        try:
            if is_request:
                check_engine_params(parse_request(value))
            else:
                check_engine_params(RenderTask.parse(value or b"").request)
        except Rejected as e:
            raise RewriteRefused(e.message) from None
        except ValidationError as e:
            raise RewriteRefused(explain(e, RenderTask).message) from None
        old = dead.identity(self.topic_prefix)
        kept = [(name, one) for name, one in dead.headers if name.startswith("__dlq.")]
        new = DeadLetter(dead.partition, dead.offset, dead.timestamp_ms, key, value, [*headers, *kept])
        found = new.identity(self.topic_prefix)
        if found is None:
            raise RewriteRefused("the changed record's key, headers and value name different jobs")
        if is_request and b'"job_id"' not in (value or b"") and not key:
            return  # Its id is that of the record which it repeats.
        if old is not None and (old.tenant, old.identity.job_id) != (found.tenant, found.identity.job_id):
            raise RewriteRefused("the changed record belongs to another job")


def submitted_ms(dead: DeadLetter, body: Any, is_request: bool) -> int:
    """When the request was submitted, milliseconds since the epoch: its deadline counts from there.

    That of a request which is sent again counts from then on.
    """
    submitted = None if is_request or not isinstance(body, dict) else body.get("submitted_ms")
    return submitted if isinstance(submitted, int) else dead.original_ms


def load_transform(path: Path) -> Transform:
    """The function ``transform`` of a Python file. Raises InvalidRequest."""
    spec = importlib.util.spec_from_file_location("lipstage_transform", path)
    if spec is None or spec.loader is None:
        raise InvalidRequest(f"{path} is not a Python file", "its name must end with .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except OSError as e:
        raise InvalidRequest(f"{path} can't be read: {e.strerror or e}") from None
    except Exception as e:  # noqa: BLE001 - whatever the user's file raises.
        raise InvalidRequest(f"{path} can't be loaded: {type(e).__name__}: {e}") from None
    transform: Any = getattr(module, "transform", None)
    if not callable(transform):
        raise InvalidRequest(f"{path} has no function transform(record)")
    function: Transform = transform
    return function


def diff(dead: DeadLetter, value: bytes | None, new: Rewritten) -> str:
    """The change as a unified diff of indented JSON."""
    before = _lines(dead.key, value, dead.original_headers)
    after = _lines(new.key, new.value, new.headers)
    return "\n".join(difflib.unified_diff(before, after, f"{dead.id} as it failed", f"{dead.id} changed", lineterm=""))


def _lines(key: bytes | None, value: bytes | None, headers: Headers) -> list[str]:
    try:
        body = json.loads(value or b"null")
    except (ValueError, RecursionError):
        body = _text(value)
    shown = {"key": _text(key), "headers": [[name, _text(one)] for name, one in headers], "value": body}
    return json.dumps(shown, indent=2, sort_keys=True).splitlines()


def _encoded(body: Any) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as e:
        raise RewriteRefused(f"the changed value is no JSON: {e}") from None


def _text(value: bytes | None) -> str | None:
    """Bytes as text that can be turned back, whatever they are."""
    return None if value is None else value.decode(errors="surrogateescape")


def _bytes(text: Any) -> bytes | None:
    if text is None or isinstance(text, bytes):
        return text
    return str(text).encode(errors="surrogateescape")
