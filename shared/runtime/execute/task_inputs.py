"""Downloads a task's inputs to local files: the user's two objects, and artifacts of earlier stages."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import structlog

from shared.messages.codes import Rejected
from shared.messages.refs import ArtifactRef, InputRef
from shared.messages.task import RenderTask
from shared.runtime.execute.map_concurrently import map_concurrently
from shared.runtime.execute.worker_telemetry import WorkerTelemetry
from shared.runtime.retry_policy import best_effort
from shared.runtime.settings import RuntimeSettings
from shared.storage.errors import ArtifactAltered, ArtifactMissing, ArtifactRefused, InputError, InputTooLarge
from shared.storage.protocols import Storage
from shared.telemetry.attributes import set_attributes

MIB = 1 << 20

log = structlog.get_logger()


def artifact(task: RenderTask, source: str) -> ArtifactRef:
    """The task's reference of the artifact ``source``, ``<stage>/<role>``. Raises ArtifactMissing."""
    stage, _, role = source.partition("/")
    output = task.outputs.get(stage)
    if output is None or role not in output.artifacts:
        raise ArtifactMissing(f"the task names no {artifact_name(source)}")
    return output.artifacts[role]


def artifact_name(source: str) -> str:
    """``<stage>/<role>`` in words. Without a slash: logs and events remove words that look like a path."""
    stage, _, role = source.partition("/")
    return f"artifact {role} of the {stage} stage"


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Begin the object store's errors about one object with its ``name``, a few words."""
    try:
        yield
    except (ArtifactMissing, ArtifactAltered, ArtifactRefused) as e:
        raise type(e)(f"the {name} can't be used: {e}") from e


def input_limit(settings: RuntimeSettings, field: str) -> int:
    """Maximum size of the request's object in the field, bytes."""
    return (settings.max_portrait_mb if field == "portrait" else settings.max_speech_mb) * MIB


def refusal(error: InputError, field: str, limit: int) -> Rejected:
    """The rejection for an input that can't be read."""
    allowed = f"at most {limit} bytes" if isinstance(error, InputTooLarge) else None
    return Rejected(error.code, f"The {field} can't be used: {error}.", field=field, allowed=allowed)


class TaskInputs:
    """Downloads the inputs of one attempt."""

    def __init__(self, task: RenderTask, store: Storage, settings: RuntimeSettings, telemetry: WorkerTelemetry) -> None:
        self._task = task
        self._store = store
        self._settings = settings
        self._telemetry = telemetry

    def fetch(self, sources: Mapping[str, str], folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
        """Read-only files ``in-<role>`` in ``folder``, and their hex SHA-256 digests, both by role.

        ``sources``: by role, ``request.<field>`` or ``<stage>/<role>``. Raises Rejected for the user's objects,
        ArtifactMissing, ArtifactAltered and ArtifactRefused for artifacts, StoreUnavailable, JobCancelled.
        """
        paths: dict[str, Path] = {}
        digests: dict[str, str] = {}

        def fetch(item: tuple[str, str]) -> None:
            role, source = item
            path = folder / f"in-{role}"
            with self._telemetry.span("artifact.get", {"artifact.role": role}) as span:
                if source.startswith("request."):
                    digests[role], size = self._fetch_input(source.removeprefix("request."), path)
                else:
                    ref = artifact(self._task, source)
                    with naming(artifact_name(source)):
                        self._fetch_artifact(ref, path)
                    digests[role], size = ref.sha256, ref.size
                set_attributes(span, {"artifact.bytes": size})
            self._telemetry.bytes("get", size)
            path.chmod(0o444)
            paths[role] = path

        map_concurrently(fetch, sources.items())
        return paths, digests

    def _fetch_artifact(self, ref: ArtifactRef, path: Path) -> None:
        try:
            self._store.artifacts.get(ref, path)
        except (ArtifactMissing, ArtifactAltered, ArtifactRefused) as e:
            log.warning("artifact_unusable", error=type(e).__name__)
            with best_effort():  # Otherwise every job with the same inputs fails, too.
                self._store.cache.forget(self._task.request.tenant, ref)
            raise

    def _fetch_input(self, field: str, path: Path) -> tuple[str, int]:
        ref: InputRef = getattr(self._task.request, field)
        limit = input_limit(self._settings, field)
        try:
            digest = self._store.inputs.get(ref, path, limit, tenant=self._task.request.tenant)
        except InputError as e:
            raise refusal(e, field, limit) from e
        return digest.sha256, digest.size
