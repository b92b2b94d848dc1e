"""Chunk manifests, buckets with their lifecycle rules, keys and free space."""

import json
from pathlib import Path
from typing import Self
from uuid import uuid4

import pytest
from pydantic import BaseModel, Field, ValidationError, model_validator

from shared.messages.chunks import MAX_CODED_CHUNK_BYTES
from shared.messages.refs import ArtifactRef
from shared.storage import keys
from shared.storage.artifacts import ArtifactStore
from shared.storage.bucket import ensure
from shared.storage.errors import ArtifactAltered, InputForbidden, NoSpace
from shared.storage.manifest import Chunk, ChunkManifest, read_manifest, write_manifest
from shared.storage.settings import StorageSettings
from shared.storage.space import require_free

FRAME = 600


def _chunk(prefix: str, index: int, frames: int = 25, size: int | None = None) -> Chunk:
    key = f"{prefix}frames-{index:05d}.i420"
    return Chunk(
        ref=ArtifactRef(key=key, sha256="0" * 64, size=frames * FRAME if size is None else size), frames=frames
    )


@pytest.fixture
def prefix() -> str:
    return keys.attempt_prefix("default", uuid4().hex, "infer", "a1")


def test_manifest_round_trip(artifacts: ArtifactStore, prefix: str) -> None:
    manifest = ChunkManifest(role="frames", chunks=(_chunk(prefix, 0), _chunk(prefix, 1, 7)), frames=32)
    ref = write_manifest(artifacts, f"{prefix}frames.json", manifest)
    assert read_manifest(artifacts, ref) == manifest


def test_manifest_of_coded_chunks_round_trip(artifacts: ArtifactStore, prefix: str) -> None:
    chunks = (_chunk(prefix, 0, size=1009), _chunk(prefix, 1, 7, size=313))
    manifest = ChunkManifest(role="frames", chunks=chunks, frames=32, codec="h264-lossless")
    ref = write_manifest(artifacts, f"{prefix}frames.json", manifest)
    assert read_manifest(artifacts, ref) == manifest


def test_coded_chunk_may_be_larger_than_raw_ones(artifacts: ArtifactStore, prefix: str) -> None:
    """Noise: the manifest of the whole render must not fail at its end."""
    chunk = _chunk(prefix, 0, size=MAX_CODED_CHUNK_BYTES)
    manifest = ChunkManifest(role="frames", chunks=(chunk,), frames=25, codec="h264-lossless")
    assert read_manifest(artifacts, write_manifest(artifacts, f"{prefix}frames.json", manifest)) == manifest


def test_manifest_of_version_040_is_raw(artifacts: ArtifactStore, prefix: str) -> None:
    chunk = _chunk(prefix, 0)
    old = {"role": "frames", "chunks": [chunk.model_dump(mode="json")], "frames": 25}
    ref = artifacts.put_bytes(json.dumps(old).encode(), f"{prefix}frames.json")
    assert read_manifest(artifacts, ref) == ChunkManifest(role="frames", chunks=(chunk,), frames=25, codec="raw")
    # And version 0.4.0 reads what this version writes for raw frames.
    again = write_manifest(artifacts, f"{prefix}again.json", read_manifest(artifacts, ref))
    assert json.loads(artifacts.get_bytes(again, 1 << 20)) == json.loads(artifacts.get_bytes(ref, 1 << 20))


def test_version_040_finds_one_chunk_that_is_no_frame_in_place_of_coded_ones(
    artifacts: ArtifactStore, prefix: str
) -> None:
    """Its handler then fails, and the task is retried. A manifest that it refuses would be a dead letter, and one that
    names the coded chunks could be misread as frames."""
    chunks = (_chunk(prefix, 0, size=1009), _chunk(prefix, 1, 7, size=313))
    manifest = ChunkManifest(role="frames", chunks=chunks, frames=32, codec="h264-lossless")
    ref = write_manifest(artifacts, f"{prefix}frames.json", manifest)
    seen = _Manifest040.model_validate_json(artifacts.get_bytes(ref, 1 << 20))
    assert [(chunk.ref, chunk.frames) for chunk in seen.chunks] == [(chunks[0].ref, 1)]


class _Chunk040(BaseModel):
    """The model of version 0.4.0, with its checks."""

    ref: ArtifactRef
    frames: int = Field(ge=1, le=25)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if not 0 < self.ref.size <= 16 << 20 or self.ref.size % self.frames:
            raise ValueError("size")
        return self


class _Manifest040(BaseModel):
    role: str
    chunks: tuple[_Chunk040, ...] = Field(min_length=1, max_length=100_000)
    frames: int = Field(ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sum(chunk.frames for chunk in self.chunks) != self.frames:
            raise ValueError("sum")
        if len({chunk.ref.size // chunk.frames for chunk in self.chunks}) != 1:
            raise ValueError("frames differ in size")
        return self


@pytest.mark.parametrize(
    "bad",
    [
        lambda p: {"chunks": [_chunk(p, 0)], "frames": 26},
        lambda p: {"chunks": [_chunk(p, 0), _chunk(p, 0)], "frames": 50},
        lambda p: {"chunks": [], "frames": 0},
        lambda p: {"chunks": [_chunk(p, 0), _chunk(p, 1, size=25 * 601)], "frames": 50},
        lambda p: {"chunks": [_chunk(p, 0, 2, 601)], "frames": 2},
        lambda p: {"chunks": [_chunk(p, 0, 1, (16 << 20) + 1)], "frames": 1},
        lambda p: {"chunks": [_chunk(p, 0)], "frames": 25, "codec": "zip"},
    ],
    ids=["sum", "twice", "empty", "frame size", "part of a frame", "raw over 16 MiB", "codec"],
)
def test_inconsistent_manifest_is_invalid(bad, prefix: str) -> None:
    with pytest.raises(ValidationError):
        ChunkManifest.model_validate({"role": "frames"} | bad(prefix))


@pytest.mark.parametrize(("frames", "size"), [(26, 26 * FRAME), (1, (28 << 20) + 1), (1, 0), (0, 0)])
def test_chunk_out_of_bounds_is_invalid(frames: int, size: int, prefix: str) -> None:
    with pytest.raises(ValidationError):
        _chunk(prefix, 0, frames, size)


def test_manifest_cannot_name_objects_of_other_folders(artifacts: ArtifactStore, prefix: str) -> None:
    foreign = ChunkManifest(role="frames", chunks=(_chunk("jobs/other/job/infer/a1/", 0),), frames=25)
    with pytest.raises(ValueError, match="outside"):
        write_manifest(artifacts, f"{prefix}frames.json", foreign)
    ref = artifacts.put_bytes(foreign.model_dump_json().encode(), f"{prefix}frames.json")
    with pytest.raises(ArtifactAltered):
        read_manifest(artifacts, ref)


def test_ensure_is_idempotent_and_the_store_keeps_the_rules(client, settings: StorageSettings) -> None:
    again = ensure(client, settings)
    assert (again.created, again.rules_changed) == ((), ())
    rules = client.get_bucket_lifecycle_configuration(Bucket="lipstage")["Rules"]
    days = {rule["ID"]: rule.get("Expiration", {}).get("Days") for rule in rules}
    kept = {"lipstage-frames": 60, "lipstage-frames-index": 61, "lipstage-jobs": 60, "lipstage-cache": 120}
    kept |= {"lipstage-quotas": 60, "lipstage-checkpoints": 14, "lipstage-erased": 60, "lipstage-erasures": 1095}
    assert days == kept | {"lipstage-dead-letters": 90, "lipstage-uploads": None}


def test_ensure_creates_all_buckets_and_keeps_foreign_rules(client, settings: StorageSettings) -> None:
    name = f"b-{uuid4().hex[:12]}"
    own = StorageSettings(
        bucket=name, input_buckets={"inputs": f"{name}-in"}, output_buckets={"results": f"{name}-out"}
    )
    made = ensure(client, own)
    assert set(made.created) == {name, f"{name}-in", f"{name}-out"}
    rules = client.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    theirs = {"ID": "operator", "Status": "Enabled", "Filter": {"Prefix": "x/"}, "Expiration": {"Days": 3}}
    client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [*rules, theirs]})
    longer = own.model_copy(update={"retention_jobs_days": 99})
    assert ensure(client, longer).rules_changed == (name,)
    after = {rule["ID"]: rule for rule in client.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]}
    assert after["lipstage-jobs"]["Expiration"]["Days"] == 99
    assert after["operator"]["Expiration"]["Days"] == 3


def test_keys_match_the_documented_layout() -> None:
    assert keys.marker("t", "j", "face") == "jobs/t/j/face.json"
    assert keys.within(keys.attempt_prefix("t", "j", "face", "a"), "image.npy") == "jobs/t/j/face/a/image.npy"
    assert keys.request("t", "j") == "jobs/t/j/request.json"
    assert keys.end("t", "j") == "jobs/t/j/end.json"
    assert keys.cache_entry("t", "face", "d") == "cache/t/face/d.json"
    assert keys.within(keys.cache_prefix("t", "face", "d", "a"), "image.npy") == "cache/t/face/d/a/image.npy"
    assert keys.output("t", "t/films", "j", "video.mp4") == "t/films/j/video.mp4"


@pytest.mark.parametrize("segment", ["", ".", "..", "a/b", "a b", ".hidden", "x" * 129, "ä", "a\n"])
def test_unsafe_key_segments_are_refused(segment: str) -> None:
    with pytest.raises(ValueError, match="not usable"):
        keys.job_prefix("t", segment)


@pytest.mark.parametrize("stage", ["request", "end"])
def test_stage_may_not_have_the_name_of_a_job_document(stage: str) -> None:
    with pytest.raises(ValueError, match="stage"):
        keys.marker("t", "j", stage)


def test_output_keys_stay_in_the_tenant_prefix() -> None:
    with pytest.raises(InputForbidden):
        keys.output("t", "other/films", "j", "video.mp4")


def test_require_free_raises_no_space_below_the_reserve(tmp_path: Path) -> None:
    require_free(tmp_path, 1, 0)
    with pytest.raises(NoSpace):
        require_free(tmp_path, 1 << 60, 0)
    with pytest.raises(NoSpace):
        require_free(tmp_path, 0, 1 << 40)
