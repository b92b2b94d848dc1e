"""The application in this process, with a stand-in for what talks to the deployment: no broker, no object store."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
from opentelemetry.trace import NoOpTracer

from shared.client import Client, Deployment, JobSpec, Submission
from shared.runtime.settings import RuntimeSettings
from shared.storage.client import S3Access
from stages.gateway.app import Parts, make_app
from stages.gateway.caller import Keys
from stages.gateway.check.checks import Checks
from stages.gateway.presigned import Presigned
from stages.gateway.rates import Rates
from stages.gateway.settings import GatewaySettings
from stages.gateway.uploads import UploadFolders

Result = TypeVar("Result")
ADDRESS = "http://localhost"


@dataclass
class Recorder:
    """In place of a client: keeps what is submitted, with the SHA-256 of each file."""

    specs: list[JobSpec] = field(default_factory=list)
    digests: list[dict[str, str]] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)

    def submit(self, spec: JobSpec) -> Submission:
        files = {role: path for role in ("portrait", "speech") if isinstance(path := getattr(spec, role), Path)}
        self.specs.append(spec)
        self.paths += files.values()
        self.digests.append({role: hashlib.sha256(path.read_bytes()).hexdigest() for role, path in files.items()})
        return Submission(spec.key, "r", "0" * 31 + "1", "0" * 64)


class Calls:
    """Calls on the recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder: Any = recorder

    async def __call__(self, work: Callable[[Client], Result]) -> Result:
        return await asyncio.to_thread(work, self._recorder)


@dataclass
class Harness:
    """An application, and what it was asked."""

    app: Any
    recorder: Recorder
    uploads: UploadFolders

    @asynccontextmanager
    async def client(self, key: str | None = None, address: str = ADDRESS) -> AsyncIterator[httpx.AsyncClient]:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=address, headers=headers) as made:
            yield made

    def run(self, ask: Callable[[httpx.AsyncClient], Coroutine[Any, Any, Result]], key: str | None = None) -> Result:
        """The result of ``ask``, which gets a client."""

        async def run() -> Result:
            async with self.client(key) as client:
                return await ask(client)

        return asyncio.run(run())

    def post(self, path: str, key: str | None = None, **given: Any) -> httpx.Response:
        return self.run(lambda client: client.post(path, **given), key)

    def get(self, path: str, key: str | None = None, **given: Any) -> httpx.Response:
        return self.run(lambda client: client.get(path, **given), key)

    @property
    def left(self) -> list[Path]:
        """Folders of uploads that exist."""
        return list(self.uploads.path.glob("upload-*"))


def harness(folder: Path, keys: Path | None = None, runtime: RuntimeSettings | None = None, **options: Any) -> Harness:
    """An application whose uploads go to ``folder``."""
    recorder, settings = Recorder(), GatewaySettings(**options)
    s3 = S3Access("http://127.0.0.1:1", "us-east-1", "key", "secret")
    deployment = Deployment(runtime or RuntimeSettings(max_portrait_mb=1, max_speech_mb=2), s3=s3)
    uploads = UploadFolders(folder, settings.max_uploads)
    parts = Parts(
        options=settings,
        deployment=deployment,
        calls=Calls(recorder),  # type: ignore[arg-type]
        uploads=uploads,
        checks=Checks(uploads.path, "auto"),
        presigned=Presigned(deployment, settings.presigned_s, settings.s3_public_url),
        keys=Keys(keys) if keys is not None else None,
        rates=Rates(settings.rate_per_s, settings.rate_burst),
        tracer=NoOpTracer(),
        live=None,  # type: ignore[arg-type]
    )
    return Harness(make_app(parts), recorder, uploads)
