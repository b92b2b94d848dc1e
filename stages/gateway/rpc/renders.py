"""The service ``lipstage.v1.Renders``."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from pydantic import JsonValue

from shared.client import results
from stages.gateway.app import Parts
from stages.gateway.caller import Caller
from stages.gateway.problems import Problem
from stages.gateway.rpc import lipstage_pb2 as pb
from stages.gateway.rpc.called import called
from stages.gateway.rpc.inputs import Inputs
from stages.gateway.rpc.results import PART_BYTES, part
from stages.gateway.rpc.states import from_struct, render, update
from stages.gateway.submitting import spec_of

TYPED = ("portrait", "speech", "engine", "job_id", "params", "engine_params", "labels", "lane", "tenant", "batch")
"""Fields of a request that ``fields`` can't name: they have a field of their own, or are the key's, or a batch's."""


class Renders:
    """Each method answers one call; the names are those of lipstage.proto."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._calls = parts.calls
        self._inputs = Inputs(parts)

    async def UploadFile(self, requests: AsyncIterator[pb.UploadFileRequest], context: Any) -> pb.InputReference | None:
        """Put a file into the input bucket."""
        async with called(self._parts, "UploadFile", context) as caller:
            ref = await self._inputs.put(caller, requests)
            return pb.InputReference(bucket=ref.bucket, key=ref.key, sha256=ref.sha256 or "", size=ref.size or 0)
        return None

    async def Submit(self, request: pb.SubmitRequest, context: Any) -> pb.SubmitResponse | None:
        """Submit a render."""
        async with called(self._parts, "Submit", context) as caller:
            spec = spec_of(caller, _body(request), {}, request.idempotency_key or None)
            done = await self._calls(lambda client: client.submit(spec))
            return pb.SubmitResponse(job_id=done.job_id, tenant=done.tenant, trace_id=done.trace_id,
                                     is_repeat=done.is_repeat)  # fmt: skip
        return None

    async def GetRender(self, request: pb.GetRenderRequest, context: Any) -> pb.Render | None:
        """The state of a render."""
        async with called(self._parts, "GetRender", context) as caller:
            key = caller.job(request.job_id)
            state = await self._calls(lambda client: client.job(key))
            return render(state.as_json())
        return None

    async def Watch(self, request: pb.WatchRequest, context: Any) -> None:
        """The state of a render, and every change of it."""
        async with called(self._parts, "Watch", context) as caller:
            await self._watch(caller, request, context)

    async def _watch(self, caller: Caller, request: pb.WatchRequest, context: Any) -> None:
        stream = await self._parts.live.job(caller, request.job_id, request.after or None)
        try:
            async for message in stream.messages():
                await context.write(update(message))
        finally:
            stream.close()

    async def Cancel(self, request: pb.CancelRequest, context: Any) -> pb.CancelResponse | None:
        """End a render."""
        async with called(self._parts, "Cancel", context) as caller:
            key = caller.job(request.job_id)
            ended = await self._calls(lambda client: client.cancel(key))
            return pb.CancelResponse(status="cancelling" if ended is None else "cancelled")
        return None

    async def Fetch(self, request: pb.FetchRequest, context: Any) -> None:
        """A result, part by part."""
        async with called(self._parts, "Fetch", context) as caller:
            key = caller.job(request.job_id)
            kind: results.File = "poster" if request.file == pb.FetchRequest.FILE_POSTER else "video"
            file = await self._calls(lambda client: results.find(client, key, kind))
            head = pb.FetchResponse.Header(size=file.size, sha256=file.sha256, media_type=results.MEDIA_TYPES[kind])
            await context.write(pb.FetchResponse(header=head))
            for offset in range(0, file.size, PART_BYTES):
                data = await self._calls(partial(part, job=key, file=file, offset=offset))
                await context.write(pb.FetchResponse(data=data))


def _body(request: pb.SubmitRequest) -> dict[str, JsonValue]:
    """The request as JSON. Raises Problem."""
    body: dict[str, JsonValue] = from_struct(request.fields)
    for name in TYPED:
        if name in body:
            raise Problem(422, "INVALID_REQUEST", f"{name} can't be named here", field=f"fields.{name}")
    for role in ("portrait", "speech"):
        if request.HasField(role):
            body[role] = _reference(getattr(request, role))
    for name in ("engine", "job_id", "lane"):
        if value := getattr(request, name):
            body[name] = value
    for name in ("params", "engine_params"):
        if request.HasField(name):
            body[name] = from_struct(getattr(request, name))
    if request.labels:
        body["labels"] = dict(request.labels)
    return body


def _reference(ref: pb.InputReference) -> dict[str, JsonValue]:
    given: dict[str, JsonValue] = {"bucket": ref.bucket, "key": ref.key, "sha256": ref.sha256, "size": ref.size}
    return {name: value for name, value in given.items() if value}
