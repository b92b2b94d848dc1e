"""Every file of a weights folder against what is published, and against the networks that it has to fill.

Published sizes and digests are those of the official model; a model of other sizes, by its own JSON files, is held to
the networks that these describe. A converted tree is held to its manifest.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from stages.infer.sonic import catalogue, manifest
from stages.infer.sonic.comparison import compare
from stages.infer.sonic.derived import agree, described, with_bucket, with_token
from stages.infer.sonic.faults import Fault, WeightsCode, WeightsRefused
from stages.infer.sonic.layout import CONVERTED, Layout, Part, recognise
from stages.infer.sonic.sizes import SonicSizes
from stages.infer.sonic.tensors import TensorFile, dtype_faults, open_tensors
from stages.infer.sonic.weights.expected import expected
from stages.infer.sonic.weights.reading import Step, damaged, digest, not_finite

Tell = Callable[[Part, str, int, int], None]
"""Told of a part: what is being done to it, how many bytes more are, and how many there are in all."""


@dataclass(slots=True)
class Row:
    """What was found of one file."""

    part: Part
    path: str
    bytes: int | None = None
    size: str = "-"
    """``ok``, ``differs``, ``unpublished``, or ``-`` where nothing is published of a model of such sizes."""
    sha256: str = "-"
    """The same, or ``unread``."""
    tensors: int | None = None
    """Those that the network takes."""
    state: str = "ok"
    """``ok``, ``refused``, or ``absent`` for a file that is not needed."""


@dataclass(slots=True)
class Report:
    """The whole folder."""

    layout: str
    model: str
    """``official`` or ``reduced``, by its JSON files; ``unknown`` when they can't be read."""
    rows: list[Row] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Known:
    """What a file must be."""

    bytes: int | None = None
    sha256: str | None = None


def check(folder: Path, tell: Tell, *, quick: bool = False) -> Report:
    """Check everything and go on after a fault; ``quick`` reads no contents, so neither digests nor numbers.

    Raises WeightsRefused only when the folder has no known layout or no readable manifest.
    """
    layout = recognise(folder)
    sizes, faults = _described(folder, layout)
    model = "unknown" if sizes is None else "official" if sizes == SonicSizes() else "reduced"
    known = _known(folder, layout, model)
    report = Report(layout.name, model)
    for part, file in layout.files.items():
        row = Row(part, file.path)
        faults += (found := _check(folder, layout, sizes, row, known, tell, quick))
        if row.state == "ok" and found:
            row.state = "refused"
        report.rows.append(row)
    report.faults = faults
    return report


def _described(folder: Path, layout: Layout) -> tuple[SonicSizes | None, list[Fault]]:
    try:
        return described(folder, layout), []
    except WeightsRefused as refused:
        return None, list(refused.faults)


def _known(folder: Path, layout: Layout, model: str) -> dict[Part, _Known] | None:
    """By part; None for a model of which nothing is published."""
    if layout is CONVERTED:
        files = manifest.read(folder).files
        records = {part: files.get(file.path) for part, file in layout.files.items()}
        return {part: _Known(one.bytes, one.sha256) if one else _Known() for part, one in records.items()}
    if model == "reduced":
        return None
    return {part: _Known(one.bytes, one.sha256) for part, one in catalogue.entries().items()}


def _check(
    folder: Path,
    layout: Layout,
    sizes: SonicSizes | None,
    row: Row,
    known: dict[Part, _Known] | None,
    tell: Tell,
    quick: bool,
) -> list[Fault]:
    path = folder / row.path
    if not path.is_file():
        optional = catalogue.entry(row.part).optional
        row.state = "absent" if optional else "refused"
        return [] if optional else [Fault(WeightsCode.FILE_MISSING, row.path, found="no such file")]
    row.bytes = whole = path.stat().st_size
    faults = _against(row, path, known[row.part], lambda n: tell(row.part, "digest", n, whole), quick) if known else []
    if row.part is Part.DETECTOR:
        return faults
    try:
        tensors = open_tensors(folder, row.path)
        if sizes is None:
            return faults
        file = layout.files[row.part]
        shapes = expected(row.part, _with(sizes, row.part, tensors, layout))
        keys = [file.prefix + name for name in shapes]
        wrong = compare(shapes, tensors.shapes, file) or dtype_faults(tensors, keys)
        row.tensors = len(keys) if not wrong else None
        if not wrong and not quick and row.sha256 != "ok":
            wrong = damaged(path, row.path) or not_finite(tensors, keys, lambda n: tell(row.part, "numbers", n, whole))
        return faults + wrong
    except WeightsRefused as refused:
        # That the file can't be read says more than that it is shorter than the published one.
        return [*refused.faults, *faults]


def _with(sizes: SonicSizes, part: Part, tensors: TensorFile, layout: Layout) -> SonicSizes:
    """With those that only a file's own tensors tell. Raises WeightsRefused when they don't fit the others."""
    if part is Part.AUDIO2TOKEN:
        sizes = with_token(sizes, tensors.shapes, tensors.name)
        agree(sizes, layout)
    elif part is Part.AUDIO2BUCKET:
        sizes = with_bucket(sizes, tensors.shapes, tensors.name)
    return sizes


def _against(row: Row, path: Path, known: _Known, step: Step, quick: bool) -> list[Fault]:
    if known.bytes is None:
        row.size = row.sha256 = "unpublished"
        return []
    if row.bytes != known.bytes:
        row.size = "differs"
        return [Fault(WeightsCode.SIZE_DIFFERS, row.path, "bytes", str(known.bytes), str(row.bytes))]
    row.size = "ok"
    if quick:
        row.sha256 = "unread"
        return []
    found = digest(path, step)
    row.sha256 = "ok" if found == known.sha256 else "differs"
    if found == known.sha256:
        return []
    return [Fault(WeightsCode.DIGEST_DIFFERS, row.path, "sha256", known.sha256 or "", found)]
