"""The manifest of a chunked artifact: written last, so that its presence means that all chunks are stored."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.messages.chunks import MAX_CHUNK_BYTES, MAX_CHUNK_FRAMES
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
        if not 0 < self.ref.size <= MAX_CHUNK_BYTES or self.ref.size % self.frames:
            raise ValueError(f"a chunk of {self.frames} frames can't have {self.ref.size} bytes")
        return self


class ChunkManifest(BaseModel):
    """All chunks of a role in order; ``frames`` is their sum."""

    model_config = ConfigDict(frozen=True)

    role: str
    chunks: tuple[Chunk, ...] = Field(min_length=1, max_length=MAX_CHUNKS)
    frames: int = Field(ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sum(chunk.frames for chunk in self.chunks) != self.frames:
            raise ValueError("the chunks' frames do not add up")
        if len({chunk.ref.size // chunk.frames for chunk in self.chunks}) != 1:
            raise ValueError("frames differ in size")
        if len({(chunk.ref.bucket, chunk.ref.key) for chunk in self.chunks}) != len(self.chunks):
            raise ValueError("a chunk is named twice")
        return self


def write_manifest(store: Artifacts, key: str, manifest: ChunkManifest) -> ArtifactRef:
    """Store the manifest, after every chunk. Raises ValueError for a chunk outside the manifest's folder, and
    StoreUnavailable."""
    _check_folder(key, manifest)
    return store.put_bytes(manifest.model_dump_json().encode(), key)


def read_manifest(store: Artifacts, ref: ArtifactRef) -> ChunkManifest:
    """Read and check a manifest; the chunks are not read.

    Raises ArtifactMissing, StoreUnavailable, and ArtifactAltered when it is not a manifest or names objects outside
    its own folder.
    """
    data = store.get_bytes(ref, MAX_MANIFEST_BYTES)
    try:
        manifest = ChunkManifest.model_validate_json(data)
        _check_folder(ref.key, manifest)
    except (ValidationError, ValueError) as error:
        raise ArtifactAltered(f"{ref.key} is not a chunk manifest: {error}") from error
    return manifest


def _check_folder(key: str, manifest: ChunkManifest) -> None:
    """Check that the manifest names only chunks in its own folder. Raises ValueError."""
    folder = key.rpartition("/")[0]
    if any(chunk.ref.key.rpartition("/")[0] != folder for chunk in manifest.chunks):
        raise ValueError("a chunk lies outside the manifest's folder")
