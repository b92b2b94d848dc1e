"""Checks every file of a weights folder against what is published and against the networks.

Published sizes and digests apply to the official model. A model of another size, by its own JSON files, is compared
with the networks that these files describe. A converted tree is compared with its manifest.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from stages.infer.sonic.config import SonicConfig
from stages.infer.sonic.weights import catalogue, manifest
from stages.infer.sonic.weights.comparison import compare
from stages.infer.sonic.weights.expected import expected_shapes
from stages.infer.sonic.weights.faults import Fault, WeightsCode, WeightsRefused
from stages.infer.sonic.weights.layout import CONVERTED, Layout, Part, detect_layout
from stages.infer.sonic.weights.reading import OnBytes, archive_faults, digest, not_finite
from stages.infer.sonic.weights.tensors import TensorFile, dtype_faults, open_tensors
from stages.infer.sonic.weights.tree_config import (
    check_widths,
    read_json_config,
    with_bucket_config,
    with_token_config,
)

OnProgress = Callable[[Part, str, int, int], None]
"""Called with the part, the operation, bytes done since the last call, and bytes in all."""


@dataclass(slots=True)
class Row:
    """The result of one file."""

    part: Part
    path: str
    bytes: int | None = None
    size: str = "-"
    """``ok``, ``differs``, ``unpublished``, or ``-`` where nothing is published for a model of this size."""
    sha256: str = "-"
    """The same, or ``unread``."""
    tensors: int | None = None
    """Tensors that the network loads."""
    state: str = "ok"
    """``ok``, ``refused``, or ``absent`` for a missing optional file."""


@dataclass(slots=True)
class Report:
    """The result of the whole folder."""

    layout: str
    model: str
    """``official`` or ``reduced``, by its JSON files; ``unknown`` when they can't be read."""
    rows: list[Row] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Published:
    """Required size and digest of a file."""

    bytes: int | None = None
    sha256: str | None = None


def check(folder: Path, on_progress: OnProgress, *, quick: bool = False) -> Report:
    """Check every file and continue after a fault. ``quick`` reads no contents: no digests, no number checks.

    Raises WeightsRefused only when the folder has no known layout or no readable manifest.
    """
    layout = detect_layout(folder)
    config, faults = _json_config(folder, layout)
    model = "unknown" if config is None else "official" if config == SonicConfig() else "reduced"
    published = _published(folder, layout, model)
    report = Report(layout.name, model)
    for part, file in layout.files.items():
        row = Row(part, file.path)
        file_faults = _check(folder, layout, config, row, published, on_progress, quick)
        faults += file_faults
        if row.state == "ok" and file_faults:
            row.state = "refused"
        report.rows.append(row)
    report.faults = faults
    return report


def _json_config(folder: Path, layout: Layout) -> tuple[SonicConfig | None, list[Fault]]:
    try:
        return read_json_config(folder, layout), []
    except WeightsRefused as refused:
        return None, list(refused.faults)


def _published(folder: Path, layout: Layout, model: str) -> dict[Part, _Published] | None:
    """By part; None for a model of which nothing is published."""
    if layout is CONVERTED:
        files = manifest.read(folder).files
        records = {part: files.get(file.path) for part, file in layout.files.items()}
        return {part: _Published(one.bytes, one.sha256) if one else _Published() for part, one in records.items()}
    if model == "reduced":
        return None
    return {part: _Published(one.bytes, one.sha256) for part, one in catalogue.entries().items()}


def _check(
    folder: Path,
    layout: Layout,
    config: SonicConfig | None,
    row: Row,
    published: dict[Part, _Published] | None,
    on_progress: OnProgress,
    quick: bool,
) -> list[Fault]:
    path = folder / row.path
    if not path.is_file():
        optional = catalogue.entry(row.part).optional
        row.state = "absent" if optional else "refused"
        return [] if optional else [Fault(WeightsCode.FILE_MISSING, row.path, found="no such file")]
    row.bytes = total = path.stat().st_size
    faults: list[Fault] = []
    if published is not None:
        faults = _compare_published(
            row, path, published[row.part], lambda n: on_progress(row.part, "digest", n, total), quick
        )
    if row.part is Part.DETECTOR:
        return faults
    try:
        tensors = open_tensors(folder, row.path)
        if config is None:
            return faults
        file = layout.files[row.part]
        shapes = expected_shapes(row.part, _with_tensor_config(config, row.part, tensors, layout))
        keys = [file.prefix + name for name in shapes]
        tensor_faults = compare(shapes, tensors.shapes, file) or dtype_faults(tensors, keys)
        row.tensors = len(keys) if not tensor_faults else None
        if not tensor_faults and not quick and row.sha256 != "ok":
            tensor_faults = archive_faults(path, row.path) or not_finite(
                tensors, keys, lambda n: on_progress(row.part, "numbers", n, total)
            )
        return faults + tensor_faults
    except WeightsRefused as refused:
        # An unreadable file explains more than its size does, so its faults come first.
        return [*refused.faults, *faults]


def _with_tensor_config(config: SonicConfig, part: Part, tensors: TensorFile, layout: Layout) -> SonicConfig:
    """Add what only the shapes of the part's own tensors define. Raises WeightsRefused when they don't fit the rest."""
    if part is Part.AUDIO2TOKEN:
        config = with_token_config(config, tensors.shapes, tensors.name)
        check_widths(config, layout)
    elif part is Part.AUDIO2BUCKET:
        config = with_bucket_config(config, tensors.shapes, tensors.name)
    return config


def _compare_published(row: Row, path: Path, published: _Published, on_bytes: OnBytes, quick: bool) -> list[Fault]:
    if published.bytes is None:
        row.size = row.sha256 = "unpublished"
        return []
    if row.bytes != published.bytes:
        row.size = "differs"
        return [Fault(WeightsCode.SIZE_DIFFERS, row.path, "bytes", str(published.bytes), str(row.bytes))]
    row.size = "ok"
    if quick:
        row.sha256 = "unread"
        return []
    sha256 = digest(path, on_bytes)
    row.sha256 = "ok" if sha256 == published.sha256 else "differs"
    if sha256 == published.sha256:
        return []
    return [Fault(WeightsCode.DIGEST_DIFFERS, row.path, "sha256", published.sha256 or "", sha256)]
