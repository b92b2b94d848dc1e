"""Downloads a folder of model weights from a bucket to a local folder: whole files only, and only changed ones.

The process that calls this has the credentials; the process that opens the files needs none.
"""

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shared.storage.answers import status
from shared.storage.errors import ArtifactAltered, ArtifactMissing, StoreUnavailable, store_errors
from shared.storage.space import require_free
from shared.storage.streams import BLOCK

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*?))?/*")
MANIFEST = "weights.json"
"""Names the files of a converted tree; written last, so that a folder with a manifest is complete."""
STATE = ".fetched.json"
LOCK = ".lock"
RESERVE_MB = 256
MAX_EMPTY_ATTEMPTS = 3
"""Consecutive attempts at a file without a received byte, after which the error is raised."""
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_MANIFEST_BYTES = 1 << 20

OnProgress = Callable[[str, int, int], None]
"""Receives the name of a file, the bytes downloaded and the bytes in total."""


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """One required file, with size in bytes and hex SHA-256 where they are known."""

    path: str
    bytes: int | None
    sha256: str | None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class _Remote:
    size: int
    etag: str


def is_url(source: str) -> bool:
    """Whether ``source`` is an s3:// URL and not a folder."""
    return source.startswith("s3://")


def parse(url: str) -> tuple[str, str]:
    """Bucket and prefix; the prefix is empty or has a slash at its end. Raises ValueError."""
    match = URL.fullmatch(url)
    if match is None:
        raise ValueError(f"{url!r} is not s3://BUCKET/PREFIX")
    bucket, prefix = match[1], match[2] or ""
    return bucket, f"{prefix}/" if prefix else ""


def fetch(client: "S3Client", url: str, required: list[WeightsFile], folder: Path, on_progress: OnProgress) -> int:
    """Download the files under ``url`` to ``folder``; returns the number of bytes of the changed files.

    ``required`` are the files of the official layout; a manifest under the prefix replaces them. A file is kept while
    its entity tag in the object store is the same; an interrupted download is resumed. A known digest is compared where
    the file has the size that belongs to it. Concurrent calls for one folder run one after the other.

    Raises ValueError for a wrong URL, ArtifactMissing, ArtifactAltered, NoSpace, StoreUnavailable, whose messages name
    files but not the bucket, and OSError.
    """
    bucket, prefix = parse(url)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        remote = _listing(client, bucket, prefix)
        files = _manifest_files(client, bucket, prefix, remote) if MANIFEST in remote else required
        if missing := [file.path for file in files if file.path not in remote and not file.optional]:
            raise ArtifactMissing(f"missing at the source: {', '.join(missing)}")
        files = [file for file in files if file.path in remote]
        state = _State(folder)
        state.forget_all_but({file.path for file in files})
        changed = [file for file in files if not state.has(file.path, remote[file.path])]
        require_free(
            folder, sum(remote[file.path].size - state.partial_bytes(file.path) for file in changed), RESERVE_MB
        )
        for file in changed:
            _fetch(client, bucket, prefix + file.path, file, remote[file.path], state, on_progress)
        return sum(remote[file.path].size for file in changed)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _listing(client: "S3Client", bucket: str, prefix: str) -> dict[str, _Remote]:
    files: dict[str, _Remote] = {}
    with store_errors("listing weights"):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                files[entry["Key"].removeprefix(prefix)] = _Remote(entry["Size"], entry["ETag"])
    return files


def _manifest_files(client: "S3Client", bucket: str, prefix: str, remote: Mapping[str, _Remote]) -> list[WeightsFile]:
    """The files of a converted tree. The manifest is not trusted: names must be plain file names."""
    if remote[MANIFEST].size > _MANIFEST_BYTES:
        raise ArtifactAltered(f"{MANIFEST} is not a manifest: {remote[MANIFEST].size} bytes")
    with store_errors("reading a manifest"):
        data = client.get_object(Bucket=bucket, Key=prefix + MANIFEST)["Body"].read()
    try:
        files = [WeightsFile(f["path"], f["bytes"], f["sha256"]) for f in json.loads(data)["files"].values()]
        if not all(_PLAIN.fullmatch(file.path) for file in files):
            raise ValueError("a file name is invalid")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactAltered(f"{MANIFEST} is not a manifest: {error}") from error
    configs = [name for name in remote if name.endswith(".json") and _PLAIN.fullmatch(name) and name != MANIFEST]
    manifest = WeightsFile(MANIFEST, len(data), sha256(data).hexdigest())
    for file in files:
        if file.path in remote and remote[file.path].size != file.bytes:
            raise ArtifactAltered(f"{file.path} has {remote[file.path].size} bytes, {file.bytes} in its manifest")
    return [*files, *(WeightsFile(name, None, None) for name in sorted(configs)), manifest]


class _State:
    """The version of each local file, and of each partial one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / STATE
        try:
            self._known: dict[str, dict[str, Any]] = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._known = {}

    def has(self, name: str, remote: _Remote) -> bool:
        path = self.folder / name
        return self._known.get(name) == asdict(remote) and path.is_file() and path.stat().st_size == remote.size

    def partial_bytes(self, name: str) -> int:
        """Size of the local part of the file, bytes."""
        partial = self.partial(name)
        return partial.stat().st_size if partial.is_file() else 0

    def begin(self, name: str, remote: _Remote) -> int:
        """Keep a part of the same version, delete any other; returns the offset at which to continue."""
        entry = f"{name}:partial"
        if self._known.get(entry) != asdict(remote) or self.partial_bytes(name) > remote.size:
            self.partial(name).unlink(missing_ok=True)
        self._known[entry] = asdict(remote)
        self._save()
        return self.partial_bytes(name)

    def finish(self, name: str, remote: _Remote) -> None:
        """Rename the complete file to its final name."""
        self.partial(name).replace(self.folder / name)
        del self._known[f"{name}:partial"]
        self._known[name] = asdict(remote)
        self._save()

    def drop(self, name: str) -> None:
        """Delete an altered part."""
        self.partial(name).unlink(missing_ok=True)
        self._known.pop(f"{name}:partial", None)
        self._save()

    def forget_all_but(self, names: set[str]) -> None:
        """Delete files of an earlier version of the folder, which could be mistaken for current ones."""
        for name in [known for known in self._known if known.removesuffix(":partial") not in names]:
            file = name.removesuffix(":partial")
            (self.folder / file if file == name else self.partial(file)).unlink(missing_ok=True)
            del self._known[name]
        self._save()

    def partial(self, name: str) -> Path:
        path = self.folder / name
        return path.with_name(f".{path.name}.partial")

    def _save(self) -> None:
        new = self._path.with_name(f"{STATE}.new")
        new.write_text(json.dumps(self._known, indent=1))
        new.replace(self._path)


def _fetch(
    client: "S3Client",
    bucket: str,
    key: str,
    file: WeightsFile,
    remote: _Remote,
    state: _State,
    on_progress: OnProgress,
) -> None:
    (state.folder / file.path).parent.mkdir(parents=True, exist_ok=True)
    empty_attempts, offset = 0, state.begin(file.path, remote)
    on_progress(file.path, offset, remote.size)
    while offset < remote.size:
        try:
            part = state.partial(file.path)
            _append(client, bucket, key, remote, part, offset, lambda n: on_progress(file.path, n, remote.size))
        except StoreUnavailable:
            empty_attempts = empty_attempts + 1 if state.partial_bytes(file.path) == offset else 0
            if empty_attempts == MAX_EMPTY_ATTEMPTS:
                raise
        offset = state.partial_bytes(file.path)
    state.partial(file.path).touch()
    if file.sha256 is not None and file.bytes == remote.size and _digest(state.partial(file.path)) != file.sha256:
        state.drop(file.path)
        raise ArtifactAltered(f"{file.path} has another SHA-256 than published")
    state.finish(file.path, remote)


def _append(
    client: "S3Client",
    bucket: str,
    key: str,
    remote: _Remote,
    partial: Path,
    offset: int,
    on_progress: Callable[[int], None],
) -> None:
    """Append the rest of an object; a broken connection keeps the received bytes. Raises as ``fetch`` does."""
    name = key.rpartition("/")[2]
    with store_errors("reading weights"), partial.open("ab") as file:
        try:
            answer = client.get_object(Bucket=bucket, Key=key, Range=f"bytes={offset}-", IfMatch=remote.etag)
        except ClientError as error:
            if status(error) == 412:
                raise ArtifactAltered(f"{name} was replaced while it was read: try again") from error
            raise
        body = answer["Body"]
        try:
            while block := body.read(BLOCK):
                file.write(block)
                offset += len(block)
                if offset > remote.size:
                    raise ArtifactAltered(f"{name} is longer than the object store reports")
                on_progress(offset)
        finally:
            body.close()
        file.flush()
        os.fsync(file.fileno())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        sha = sha256()
        while block := file.read(BLOCK):
            sha.update(block)
    return sha.hexdigest()
