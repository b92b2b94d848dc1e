"""Converts the official files to safetensors, once: half the size, mapped at once, and no code in them.

Each file is written under a temporary name, synced and renamed. A journal lists the finished files, so that a
conversion that was killed resumes with the next file. The journal becomes the manifest when every file is finished.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from stages.infer.sonic.config import SonicConfig
from stages.infer.sonic.weights import catalogue, manifest
from stages.infer.sonic.weights.check import OnProgress
from stages.infer.sonic.weights.comparison import compare
from stages.infer.sonic.weights.expected import expected_shapes
from stages.infer.sonic.weights.faults import Fault, WeightsCode, WeightsRefused
from stages.infer.sonic.weights.layout import CONVERTED, JOURNAL, MANIFEST, OFFICIAL, TENSOR_PARTS, Part
from stages.infer.sonic.weights.manifest import FileRecord, Manifest, Origin
from stages.infer.sonic.weights.reading import digest
from stages.infer.sonic.weights.tensors import dtype_faults
from stages.infer.sonic.weights.tree import WeightsTree, open_tree
from stages.infer.sonic.weights.writer import PlannedTensor, write

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
LARGE = (Part.UNET, Part.VAE, Part.IMAGE_ENCODER)
"""Parts whose dtype is chosen. The others are 0.3 GB together and run in float32."""
LOCK = ".lock"
RESERVE = 256 << 20
"""Bytes that stay free on the disk."""
_HEADER_PER_TENSOR = 256

Plans = dict[Part, list[PlannedTensor]]


def convert(source: Path, target: Path, dtype: str, licence: dict[str, str], on_progress: OnProgress) -> Manifest:
    """Convert ``source`` into ``target``, or resume an interrupted conversion of the same source.

    Everything is checked before anything is written. Raises WeightsRefused: the codes of ``open_tree`` and
    ``WeightsTree.load``; SIZE_DIFFERS and DIGEST_DIFFERS against what is published; NOT_FINITE, OUTPUT_TAKEN, NO_SPACE.
    Raises OSError.
    """
    tree = open_tree(source)
    if tree.layout is CONVERTED:
        raise WeightsRefused([Fault(WeightsCode.OUTPUT_TAKEN, str(source), found="this tree is converted already")])
    plans = _plans(tree, DTYPES[dtype])
    target.mkdir(parents=True, exist_ok=True)
    with _exclusive(target):
        official = tree.config == SonicConfig()
        journal = _open_journal(target, dtype, official)
        for partial in target.glob(".*.partial"):
            partial.unlink()
        _require_space(tree, target, plans, journal)
        for part, plan in plans.items():
            _convert_part(tree, part, plan, target, journal, on_progress)
        if tree.path(Part.DETECTOR).is_file():
            _copy_detector(tree, target, journal, on_progress)
        for part, name in tree.layout.configs.items():
            manifest.write_atomically(target / CONVERTED.configs[part], (source / name).read_bytes())
        journal.licence = licence
        journal.write(target / MANIFEST)
        (target / JOURNAL).unlink(missing_ok=True)
    return journal


def _plans(tree: WeightsTree, dtype: torch.dtype) -> Plans:
    """The tensors of each new file, after a check of every name and shape. Raises WeightsRefused with all faults."""
    plans: Plans = {}
    faults: list[Fault] = []
    for part in TENSOR_PARTS:
        file = tree.layout.files[part]
        try:
            tensors = tree.tensors(part)
        except WeightsRefused as refused:
            faults += refused.faults
            continue
        shapes = expected_shapes(part, tree.config)
        part_faults = compare(shapes, tensors.shapes, file) or dtype_faults(
            tensors, [file.prefix + name for name in shapes]
        )
        faults += part_faults
        if not part_faults:
            plans[part] = [
                PlannedTensor(name, shape, dtype if part in LARGE else tensors[file.prefix + name].dtype)
                for name, shape in shapes.items()
            ]
    if faults:
        raise WeightsRefused(faults)
    return plans


@contextmanager
def _exclusive(target: Path) -> Iterator[None]:
    with (target / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _taken(target, "another conversion is writing here") from None
        yield


def _open_journal(target: Path, dtype: str, official: bool) -> Manifest:
    """The files that are finished. Raises WeightsRefused (OUTPUT_TAKEN) when the folder holds something else."""
    for name in (JOURNAL, MANIFEST):
        if (target / name).is_file():
            journal = manifest.read(target, name)
            if (journal.dtype, journal.official) != (dtype, official):
                kind = "official" if journal.official else "reduced"
                raise _taken(target, f"holds a conversion of the {kind} model to {journal.dtype}")
            return journal
    if any(entry.name != LOCK for entry in target.iterdir()):
        raise _taken(target, "not empty, and not a conversion")
    return Manifest(dtype, official)


def _taken(target: Path, reason: str) -> WeightsRefused:
    return WeightsRefused([Fault(WeightsCode.OUTPUT_TAKEN, str(target), found=f"{reason}: choose another folder")])


def _require_space(tree: WeightsTree, target: Path, plans: Plans, journal: Manifest) -> None:
    needed = 0
    for part, plan in plans.items():
        if not _has_size(target, journal.files.get(CONVERTED.files[part].path)):
            needed += sum(tensor.bytes + _HEADER_PER_TENSOR for tensor in plan)
    detector = tree.path(Part.DETECTOR)
    if detector.is_file() and not _has_size(target, journal.files.get(CONVERTED.files[Part.DETECTOR].path)):
        needed += detector.stat().st_size
    free = shutil.disk_usage(target).free
    if needed and free < needed + RESERVE:
        expected = f"{(needed + RESERVE) >> 20} MiB ({needed >> 20} to write, {RESERVE >> 20} to spare)"
        raise WeightsRefused([Fault(WeightsCode.NO_SPACE, str(target), "", expected, f"{free >> 20} MiB free")])


def _has_size(target: Path, record: FileRecord | None) -> bool:
    """Whether a finished file still has its size; its digest is compared when the part is converted."""
    if record is None:
        return False
    path = target / record.path
    return path.is_file() and path.stat().st_size == record.bytes


def _convert_part(
    tree: WeightsTree,
    part: Part,
    plan: list[PlannedTensor],
    target: Path,
    journal: Manifest,
    on_progress: OnProgress,
) -> None:
    file, path = tree.layout.files[part], target / CONVERTED.files[part].path
    origin = _origin(tree, part, journal.official, on_progress)
    if _is_finished(target, journal.files.get(path.name), origin, part, on_progress):
        return
    _reopen(target)
    tensors, total = tree.tensors(part), sum(tensor.bytes for tensor in plan)
    partial = path.with_name(f".{path.name}.partial")
    try:
        size, sha = write(
            partial,
            plan,
            lambda name: tensors[file.prefix + name],
            {"format": "pt"},
            lambda n: on_progress(part, "write", n, total),
            file.path,
        )
        manifest.put_in_place(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    dtypes = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in plan})
    _record(target, journal, FileRecord(path.name, size, sha, "+".join(dtypes), origin))


def _copy_detector(tree: WeightsTree, target: Path, journal: Manifest, on_progress: OnProgress) -> None:
    """The detector is a TorchScript program, not tensors, so it is copied unchanged."""
    part, source = Part.DETECTOR, tree.path(Part.DETECTOR)
    path = target / CONVERTED.files[part].path
    origin = _origin(tree, part, journal.official, on_progress)
    if _is_finished(target, journal.files.get(path.name), origin, part, on_progress):
        return
    _reopen(target)
    partial = path.with_name(f".{path.name}.partial")
    shutil.copyfile(source, partial)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    manifest.put_in_place(partial, path)
    _record(target, journal, FileRecord(path.name, origin.bytes, origin.sha256, "", origin))


def _origin(tree: WeightsTree, part: Part, official: bool, on_progress: OnProgress) -> Origin:
    """Size and digest of the source file; the official model's must be the published ones."""
    path, name = tree.path(part), OFFICIAL.files[part].path
    size, published = path.stat().st_size, catalogue.entry(part)
    if official and published.bytes not in (None, size):
        raise WeightsRefused([Fault(WeightsCode.SIZE_DIFFERS, name, "bytes", str(published.bytes), str(size))])
    sha = digest(path, lambda n: on_progress(part, "digest", n, size))
    if official and published.sha256 not in (None, sha):
        raise WeightsRefused([Fault(WeightsCode.DIGEST_DIFFERS, name, "sha256", str(published.sha256), sha)])
    return Origin(name, size, sha)


def _is_finished(target: Path, record: FileRecord | None, origin: Origin, part: Part, on_progress: OnProgress) -> bool:
    """Whether the new file was made of this source and is undamaged."""
    if record is None or record.origin != origin or not _has_size(target, record):
        return False
    return digest(target / record.path, lambda n: on_progress(part, "verify", n, record.bytes)) == record.sha256


def _reopen(target: Path) -> None:
    """A finished conversion of which a file must be made again becomes an unfinished one."""
    if (target / MANIFEST).is_file():
        (target / MANIFEST).replace(target / JOURNAL)


def _record(target: Path, journal: Manifest, record: FileRecord) -> None:
    journal.files[record.path] = record
    journal.write(target / JOURNAL)
