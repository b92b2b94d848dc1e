"""Files that arrive in pieces: kept in the folder of an upload, put into the input bucket when they are whole."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from typing import BinaryIO

from shared.client.uploads import INPUT_ALIAS, POSTED, Uploads
from shared.messages.codes import Code
from shared.messages.refs import InputRef
from stages.gateway.app import Parts
from stages.gateway.caller import Caller
from stages.gateway.problems import Problem
from stages.gateway.rpc import lipstage_pb2 as pb

ROLES = {pb.ROLE_PORTRAIT: "portrait", pb.ROLE_SPEECH: "speech"}
MB = 1 << 20


class Inputs:
    """Takes files; their number at a time is that of all uploads through this gateway."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def put(self, caller: Caller, parts: AsyncIterator[pb.UploadFileRequest]) -> InputRef:
        """Read the file and put it under a key that nothing else has; returns its reference. It belongs to the render
        that names it, as one that was posted to the object store. Raises Problem, and what `Uploads.put` does."""
        with self._parts.uploads.folder() as folder:
            path = folder / "file"
            with path.open("wb") as file:
                sha256, size = await self._receive(parts, file)
            key = f"{caller.tenant}/{POSTED}/{uuid.uuid4().hex}"
            ref = InputRef(bucket=INPUT_ALIAS, key=key, sha256=sha256, size=size)
            await self._parts.calls(lambda client: Uploads(client.connection).put(path, ref))
            return ref

    async def _receive(self, parts: AsyncIterator[pb.UploadFileRequest], file: BinaryIO) -> tuple[str, int]:
        """Write what arrives; returns SHA-256 and size. Raises Problem."""
        first = await self._next(parts)
        role = ROLES.get(first.role) if first is not None and first.WhichOneof("part") == "role" else None
        if role is None:
            raise Problem(422, "INVALID_REQUEST", "the first message names the role of the file", field="role",
                          allowed="ROLE_PORTRAIT or ROLE_SPEECH")  # fmt: skip
        settings = self._parts.deployment.runtime
        most = (settings.max_portrait_mb if role == "portrait" else settings.max_speech_mb) * MB
        digest, size = hashlib.sha256(), 0
        while (part := await self._next(parts)) is not None:
            if part.WhichOneof("part") != "data":
                raise Problem(422, "INVALID_REQUEST", "each message after the first one has data", field="data")
            size += len(part.data)
            if size > most:
                raise Problem(413, str(Code.INPUT_TOO_LARGE), f"the {role} has more than {most // MB} MiB", field=role,
                              allowed=f"at most {most // MB} MiB")  # fmt: skip
            digest.update(part.data)
            await asyncio.to_thread(file.write, part.data)
        if not size:
            raise Problem(422, "INVALID_REQUEST", f"the {role} is empty", field=role)
        return digest.hexdigest(), size

    async def _next(self, parts: AsyncIterator[pb.UploadFileRequest]) -> pb.UploadFileRequest | None:
        """The next message; None after the last. Raises Problem when none arrives."""
        idle_s = self._parts.options.upload_idle_s
        try:
            async with asyncio.timeout(idle_s):
                return await anext(parts, None)
        except TimeoutError:
            raise Problem(408, "REQUEST_TIMEOUT", f"nothing of the upload has arrived for {idle_s:g} s") from None
