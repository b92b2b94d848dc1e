"""A folder of model weights in a bucket, brought to a folder here: whole files or none, and only what changed.

Credentials stay with the process that calls this; the one that opens the files needs none.
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
"""Names the files of a converted tree; comes last, so that a folder with one is whole."""
STATE = ".fetched.json"
LOCK = ".lock"
RESERVE_MB = 256
FRUITLESS = 3
"""Attempts in a row that may bring nothing."""
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_MANIFEST_BYTES = 1 << 20

Tell = Callable[[str, int, int], None]
"""Told of a file: its name, bytes there, bytes in all."""


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """One file to have: its SHA-256 where that is known."""

    path: str
    bytes: int | None
    sha256: str | None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class _Remote:
    size: int
    etag: str


def is_url(source: str) -> bool:
    """Whether weights are named by a place in a store, not by a folder."""
    return source.startswith("s3://")


def parse(url: str) -> tuple[str, str]:
    """Bucket and prefix, the latter empty or with a slash at its end. Raises ValueError."""
    found = URL.fullmatch(url)
    if found is None:
        raise ValueError(f"{url!r} is not s3://BUCKET/PREFIX")
    bucket, prefix = found[1], found[2] or ""
    return bucket, f"{prefix}/" if prefix else ""


def fetch(client: "S3Client", url: str, wanted: list[WeightsFile], folder: Path, tell: Tell) -> int:
    """Have ``folder`` hold the files under ``url``; bytes that were fetched.

    ``wanted`` are those of the official layout; where the prefix has a manifest, it says what is wanted instead. A file
    is kept while the store has the same entity tag for it; one that broke off goes on where it was. Digests are
    compared where one is known and the size is the one it belongs to. Several processes may call this for one folder:
    they take turns. Raises ValueError for a wrong URL, ArtifactMissing, ArtifactAltered, NoSpace, StoreUnavailable,
    whose messages name files but not the place, and OSError.
    """
    bucket, prefix = parse(url)
    folder.mkdir(parents=True, exist_ok=True)
    with _turn(folder):
        there = _listing(client, bucket, prefix)
        files = _of_manifest(client, bucket, prefix, there) if MANIFEST in there else wanted
        if missing := [one.path for one in files if one.path not in there and not one.optional]:
            raise ArtifactMissing(f"the place in the store lacks {', '.join(missing)}")
        files = [one for one in files if one.path in there]
        state = _State(folder)
        state.forget_all_but({one.path for one in files})
        due = [one for one in files if not state.has(one.path, there[one.path])]
        require_free(folder, sum(there[one.path].size - state.begun(one.path) for one in due), RESERVE_MB)
        for one in due:
            _fetch(client, bucket, prefix + one.path, one, there[one.path], state, tell)
        return sum(there[one.path].size for one in due)


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _listing(client: "S3Client", bucket: str, prefix: str) -> dict[str, _Remote]:
    found: dict[str, _Remote] = {}
    with store_errors("listing weights"):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                found[entry["Key"].removeprefix(prefix)] = _Remote(entry["Size"], entry["ETag"])
    return found


def _of_manifest(client: "S3Client", bucket: str, prefix: str, there: Mapping[str, _Remote]) -> list[WeightsFile]:
    """What a converted tree consists of. Names are the store's to choose, so they must be plain ones."""
    if there[MANIFEST].size > _MANIFEST_BYTES:
        raise ArtifactAltered(f"{MANIFEST} is not a manifest: {there[MANIFEST].size} bytes")
    with store_errors("reading a manifest"):
        data = client.get_object(Bucket=bucket, Key=prefix + MANIFEST)["Body"].read()
    try:
        named = [WeightsFile(one["path"], one["bytes"], one["sha256"]) for one in json.loads(data)["files"].values()]
        if not all(_PLAIN.fullmatch(one.path) for one in named):
            raise ValueError("a name that is none")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactAltered(f"{MANIFEST} is not a manifest: {error}") from error
    configs = [name for name in there if name.endswith(".json") and _PLAIN.fullmatch(name) and name != MANIFEST]
    last = WeightsFile(MANIFEST, len(data), sha256(data).hexdigest())
    for one in named:
        if one.path in there and there[one.path].size != one.bytes:
            raise ArtifactAltered(f"{one.path} has {there[one.path].size} bytes, its manifest says {one.bytes}")
    return [*named, *(WeightsFile(name, None, None) for name in sorted(configs)), last]


class _State:
    """Which version of each file is here, and of which one a part is."""

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

    def begun(self, name: str) -> int:
        """Bytes of the part that is here."""
        partial = self.partial(name)
        return partial.stat().st_size if partial.is_file() else 0

    def begin(self, name: str, remote: _Remote) -> int:
        """Go on with a part of the same version, or start anew; where to go on."""
        mark = f"{name}:partial"
        if self._known.get(mark) != asdict(remote) or self.begun(name) > remote.size:
            self.partial(name).unlink(missing_ok=True)
        self._known[mark] = asdict(remote)
        self._save()
        return self.begun(name)

    def finish(self, name: str, remote: _Remote) -> None:
        """Give the whole file its name."""
        self.partial(name).replace(self.folder / name)
        del self._known[f"{name}:partial"]
        self._known[name] = asdict(remote)
        self._save()

    def drop(self, name: str) -> None:
        """Forget a part that is not what it should be."""
        self.partial(name).unlink(missing_ok=True)
        self._known.pop(f"{name}:partial", None)
        self._save()

    def forget_all_but(self, names: set[str]) -> None:
        """Remove files of an earlier version of the folder, which would be taken for the new one's."""
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
    client: "S3Client", bucket: str, key: str, file: WeightsFile, remote: _Remote, state: _State, tell: Tell
) -> None:
    (state.folder / file.path).parent.mkdir(parents=True, exist_ok=True)
    fruitless, at = 0, state.begin(file.path, remote)
    tell(file.path, at, remote.size)
    while at < remote.size:
        try:
            part = state.partial(file.path)
            _read_on(client, bucket, key, remote, part, at, lambda n: tell(file.path, n, remote.size))
        except StoreUnavailable:
            fruitless = fruitless + 1 if state.begun(file.path) == at else 0
            if fruitless == FRUITLESS:
                raise
        at = state.begun(file.path)
    state.partial(file.path).touch()
    if file.sha256 is not None and file.bytes == remote.size and _digest(state.partial(file.path)) != file.sha256:
        state.drop(file.path)
        raise ArtifactAltered(f"{file.path} has another SHA-256 than is known of it")
    state.finish(file.path, remote)


def _read_on(
    client: "S3Client", bucket: str, key: str, remote: _Remote, partial: Path, at: int, tell: Callable[[int], None]
) -> None:
    """Append what is left of an object; a broken connection keeps what came. Raises as ``fetch``."""
    name = key.rpartition("/")[2]
    with store_errors("reading weights"), partial.open("ab") as file:
        try:
            answer = client.get_object(Bucket=bucket, Key=key, Range=f"bytes={at}-", IfMatch=remote.etag)
        except ClientError as error:
            if status(error) == 412:
                raise ArtifactAltered(f"{name} was replaced while it was read: try again") from error
            raise
        body = answer["Body"]
        try:
            while block := body.read(BLOCK):
                file.write(block)
                at += len(block)
                if at > remote.size:
                    raise ArtifactAltered(f"{name} is longer than the store says")
                tell(at)
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
