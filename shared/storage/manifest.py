"""The manifest of a chunked artifact: written last, so that its presence means that all chunks are stored."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.messages.chunks import MAX_CHUNK_BYTES, MAX_CHUNK_FRAMES, MAX_CODED_CHUNK_BYTES, RAW, FrameCodec
from shared.messages.refs import ArtifactRef
from shared.storage.errors import ArtifactAltered
from shared.storage.protocols import Artifacts

MAX_CHUNKS = 100_000
MAX_MANIFEST_BYTES = 32 << 20


class Chunk(BaseModel):
    """Consecutive frames in one object."""

    model_config = ConfigDict(frozen=True)

    ref: ArtifactRef
    frames: int = Field(ge=1, le=MAX_CHUNK_FRAMES)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if not 0 < self.ref.size <= MAX_CODED_CHUNK_BYTES:
            raise ValueError(f"a chunk can't have {self.ref.size} bytes")
        return self


class ChunkManifest(BaseModel):
    """All chunks of a role in order; ``frames`` is their sum."""

    model_config = ConfigDict(frozen=True)

    role: str
    chunks: tuple[Chunk, ...] = Field(min_length=1, max_length=MAX_CHUNKS)
    frames: int = Field(ge=1)
    codec: FrameCodec = RAW

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check()
        return self

    def _check(self) -> None:
        """Raises ValueError for chunks that can't be those of one sequence."""
        if sum(chunk.frames for chunk in self.chunks) != self.frames:
            raise ValueError("the chunks' frames do not add up")
        if self.codec == RAW:
            for chunk in self.chunks:
                if chunk.ref.size > MAX_CHUNK_BYTES or chunk.ref.size % chunk.frames:
                    raise ValueError(f"a chunk of {chunk.frames} raw frames can't have {chunk.ref.size} bytes")
            if len({chunk.ref.size // chunk.frames for chunk in self.chunks}) != 1:
                raise ValueError("frames differ in size")
        if len({(chunk.ref.bucket, chunk.ref.key) for chunk in self.chunks}) != len(self.chunks):
            raise ValueError("a chunk is named twice")


class _StoredManifest(ChunkManifest):
    """The manifest as JSON. Raw chunks have the form of version 0.4.0.

    Coded ones are in ``coded``, beside a manifest of one frame that version 0.4.0 accepts and whose only chunk is no
    raw frame: its encode stage then fails, and the task waits on the retry topics until an encode stage of this version
    takes it. A manifest that version 0.4.0 refuses would be a dead letter.
    """

    coded: ChunkManifest | None = None

    def _check(self) -> None:
        """What stands beside coded chunks is no chunk of raw frames: its size has no limit of its own."""
        if self.coded is None:
            super()._check()


def _dump(manifest: ChunkManifest) -> bytes:
    if manifest.codec == RAW:
        return manifest.model_dump_json(exclude={"codec"}).encode()
    first = Chunk(ref=manifest.chunks[0].ref, frames=1)
    stored = _StoredManifest(role=manifest.role, chunks=(first,), frames=1, coded=manifest)
    return stored.model_dump_json(exclude={"codec"}).encode()


def _load(data: bytes) -> ChunkManifest:
    stored = _StoredManifest.model_validate_json(data)
    return stored.coded or ChunkManifest(role=stored.role, chunks=stored.chunks, frames=stored.frames)


def write_manifest(store: Artifacts, key: str, manifest: ChunkManifest) -> ArtifactRef:
    """Store the manifest, after every chunk. Raises ValueError for a chunk outside the manifest's folder, and
    StoreUnavailable."""
    _check_folder(key, manifest)
    return store.put_bytes(_dump(manifest), key)


def read_manifest(store: Artifacts, ref: ArtifactRef) -> ChunkManifest:
    """Read and check a manifest; the chunks are not read.

    Raises ArtifactMissing, StoreUnavailable, and ArtifactAltered when it is not a manifest or names objects outside
    its own folder.
    """
    data = store.get_bytes(ref, MAX_MANIFEST_BYTES)
    try:
        manifest = _load(data)
        _check_folder(ref.key, manifest)
    except (ValidationError, ValueError) as error:
        raise ArtifactAltered(f"{ref.key} is not a chunk manifest: {error}") from error
    return manifest


def _check_folder(key: str, manifest: ChunkManifest) -> None:
    """Check that the manifest names only chunks in its own folder. Raises ValueError."""
    folder = key.rpartition("/")[0]
    if any(chunk.ref.key.rpartition("/")[0] != folder for chunk in manifest.chunks):
        raise ValueError("a chunk lies outside the manifest's folder")
