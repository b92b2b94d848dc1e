"""Compares what a handler wrote with the outputs that its stage declares."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from shared.slot.artifacts import ArrayArtifact, Artifact
from shared.slot.frames.chunk import read_frames
from shared.slot.spec import StageSpec
from tests.stage_harness import StageHarness

SIGNATURES = {"video/mp4": (4, b"ftyp"), "image/jpeg": (0, b"\xff\xd8")}
"""Offset and bytes that identify a file format."""


def assert_declared(
    spec: StageSpec, files: Mapping[str, Path], sizes: Mapping[str, int], context: StageHarness | None = None
) -> None:
    """Every declared role is written, no other is, and each has the declared format, type and shape.

    sizes: the expected values of the named axes, by name; context: the harness with the uploaded chunks.
    """
    uploads = context.uploaded if context else {}
    chunked = {role for role, a in spec.outputs.items() if isinstance(a, ArrayArtifact) and a.chunked}
    assert set(uploads) == chunked
    assert set(files) == set(spec.outputs) - chunked
    for role, path in files.items():
        _assert_content(spec.outputs[role], path, sizes)
    for role, chunks in uploads.items():
        artifact = spec.outputs[role]
        assert isinstance(artifact, ArrayArtifact)
        rows, width = (sizes[str(axis)] for axis in artifact.shape[1:])
        for path, count in chunks:
            frames = list(read_frames(path, context.codecs[role], width, rows * 2 // 3)) if context else []
            assert [frame.shape for frame in frames] == [(rows, width)] * count, path.name
            assert {frame.dtype for frame in frames} == {np.dtype(artifact.dtype)}


def _assert_content(artifact: Artifact, path: Path, sizes: Mapping[str, int]) -> None:
    if not isinstance(artifact, ArrayArtifact):
        offset, signature = SIGNATURES[artifact.media_type]
        assert path.read_bytes()[offset:].startswith(signature), path.name
        return
    shape = tuple(axis if isinstance(axis, int) else sizes[axis] for axis in artifact.shape)
    dtype = np.dtype(artifact.dtype)
    if artifact.format == "npy":
        array = np.load(path, allow_pickle=False)
        assert (array.dtype, array.shape) == (dtype, shape), path.name
    else:
        assert path.stat().st_size == np.prod(shape) * dtype.itemsize, path.name
