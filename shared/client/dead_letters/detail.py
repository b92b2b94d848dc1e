"""Everything about one dead letter: its record, its failure, its objects, its replays."""

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from shared.client.connection import Connection
from shared.client.dead_letters import listing, scan, states
from shared.client.dead_letters.dead_letter import DeadLetter, parse_id
from shared.client.dead_letters.filters import DeadLetterFilter
from shared.client.dead_letters.listing import Listed
from shared.client.dead_letters.plan import would_fail_the_same_way
from shared.client.dead_letters.states import Ledger, read_states
from shared.messages.dead_letter_state import DeadLetterState
from shared.messages.refs import ArtifactRef, InputRef
from shared.messages.task import RenderTask
from shared.storage.errors import is_missing

MAX_RELATED = 50
"""Dead letters of the same job that are shown."""


@dataclass(frozen=True, slots=True)
class ObjectState:
    """An object that the record refers to."""

    role: str
    bucket: str
    """Alias."""
    key: str
    available: str
    """present, missing, altered (another size), refused, unknown bucket, or not known: the store does not answer."""


@dataclass(frozen=True, slots=True)
class DeadLetterDetail:
    """One dead letter, explained."""

    listed: Listed
    state: DeadLetterState | None
    """What was last done with it."""
    objects: tuple[ObjectState, ...]
    related: tuple[Listed, ...]
    """All dead letters of the job, this one included, in the order of their times: the history of its replays."""
    would_fail_the_same_way: bool

    def as_json(self) -> dict[str, Any]:
        """For scripts: stable names."""
        dead = self.listed.dead
        return self.listed.as_json() | {
            "key": _decoded(dead.key),
            "value": dead.body if dead.body is not None else _decoded(dead.value),
            "headers": [[name, _decoded(value)] for name, value in dead.original_headers],
            "errors": dead.errors,
            "what_was_done": self.state.model_dump(mode="json", exclude_none=True) if self.state else None,
            "objects": [
                {"role": one.role, "bucket": one.bucket, "key": one.key, "available": one.available}
                for one in self.objects
            ],
            "history": [{**one.as_json()} for one in self.related],
            "would_fail_the_same_way": self.would_fail_the_same_way,
        }


def detail(connection: Connection, text: str) -> DeadLetterDetail:
    """The dead letter with this id. Raises InvalidRequest, DeadLetterNotFound, BrokerUnreachable, TopicMissing."""
    place = parse_id(text)
    (dead,) = scan.by_ids(connection, [place])
    job = dead.identity(connection.settings.topic_prefix)
    known = read_states(connection, Ledger(connection))
    shown = listing.listed(connection, dead, known.of(dead))
    related: list[Listed] = []
    if job is not None:
        chosen = DeadLetterFilter(jobs=(job.identity.job_id,), tenants=(job.tenant,))
        for one in listing.matching(connection, chosen, known):
            related.append(listing.listed(connection, one, known.of(one)))
            if len(related) == MAX_RELATED:
                break
    ordered = sorted(related or [shown], key=lambda one: (one.dead.timestamp_ms, one.dead.offset))
    return DeadLetterDetail(
        shown,
        states.read_state(connection, dead),
        tuple(_objects(connection, dead)),
        tuple(ordered),
        would_fail_the_same_way(dead),
    )


def _objects(connection: Connection, dead: DeadLetter) -> Iterator[ObjectState]:
    """The objects that the record refers to, each asked for once."""
    value = dead.value
    try:
        stored = dead.stored_value
    except ValueError:
        stored = None
    if stored is not None:
        yield _state(connection, "value", stored)
    request = dead.request(connection.settings.topic_prefix)
    for role in ("portrait", "speech"):
        try:
            yield _state(connection, role, InputRef.model_validate(request.get(role)))
        except ValidationError:
            continue
    try:
        task = RenderTask.parse(value or b"")
    except ValidationError:
        return
    for stage, output in task.outputs.items():
        for role, ref in output.artifacts.items():
            yield _state(connection, f"{stage} {role}", ref)


def _state(connection: Connection, role: str, ref: ArtifactRef | InputRef) -> ObjectState:
    return ObjectState(role, ref.bucket, ref.key, _available(connection, ref))


def _available(connection: Connection, ref: ArtifactRef | InputRef) -> str:
    settings = connection.storage_settings
    if isinstance(ref, InputRef):
        bucket = settings.input_buckets.get(ref.bucket)
    else:
        bucket = {**settings.output_buckets, "artifacts": settings.bucket}.get(ref.bucket)
    if bucket is None:
        return "unknown bucket"
    try:
        head = connection.fail_fast.s3.head_object(Bucket=bucket, Key=ref.key)
    except ClientError as e:
        return "missing" if is_missing(e) else "refused"
    except BotoCoreError:
        return "not known: the object store does not answer"
    return "present" if ref.size is None or head["ContentLength"] == ref.size else "altered"


def _decoded(value: bytes | None) -> Any:
    """Bytes as text where they are text, else as base64."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}


def pretty(dead: DeadLetter) -> list[str]:
    """The value for a person: indented JSON, or text."""
    if dead.value is None:
        return ["null"]
    if dead.body is not None:
        return json.dumps(dead.body, indent=2, ensure_ascii=False).splitlines()
    return [dead.value[:4096].decode(errors="backslashreplace")]
