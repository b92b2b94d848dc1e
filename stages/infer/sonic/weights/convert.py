"""The official files made into safetensors, once: half the size, mapped at once, and nothing in them to run.

Each file is written under a temporary name, synced and renamed. A journal remembers what is finished, so that a
conversion that was killed goes on with the next file; it becomes the manifest when all are there.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from stages.infer.sonic import catalogue, manifest
from stages.infer.sonic.checkpoint import Tree, open_tree
from stages.infer.sonic.comparison import compare
from stages.infer.sonic.faults import Fault, WeightsCode, WeightsRefused
from stages.infer.sonic.layout import CONVERTED, JOURNAL, MANIFEST, OFFICIAL, TENSOR_PARTS, Part
from stages.infer.sonic.manifest import FileRecord, Manifest, Origin
from stages.infer.sonic.sizes import SonicSizes
from stages.infer.sonic.tensors import dtype_faults
from stages.infer.sonic.weights.check import Tell
from stages.infer.sonic.weights.expected import expected
from stages.infer.sonic.weights.reading import digest
from stages.infer.sonic.weights.writer import Planned, write

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
LARGE = (Part.UNET, Part.VAE, Part.IMAGE_ENCODER)
"""Those whose dtype is chosen. The others are 0.3 GB together and run in float32."""
LOCK = ".lock"
RESERVE = 256 << 20
"""Bytes that stay free on the disk."""
_HEADER_PER_TENSOR = 256


def convert(source: Path, target: Path, dtype: str, licence: dict[str, str], tell: Tell) -> Manifest:
    """Convert ``source`` into ``target``, or go on where an earlier conversion of the same was interrupted.

    Everything is checked before anything is written. Raises WeightsRefused: what ``open_tree`` and ``Tree.load``
    raise; SIZE_DIFFERS and DIGEST_DIFFERS against what is published; NOT_FINITE, OUTPUT_TAKEN, NO_SPACE. OSError.
    """
    tree = open_tree(source)
    if tree.layout is CONVERTED:
        raise WeightsRefused([Fault(WeightsCode.OUTPUT_TAKEN, str(source), found="this tree is converted already")])
    plans = _planned(tree, DTYPES[dtype])
    target.mkdir(parents=True, exist_ok=True)
    with _alone(target):
        official = tree.sizes == SonicSizes()
        done = _begun(target, dtype, official)
        for partial in target.glob(".*.partial"):
            partial.unlink()
        _require_space(tree, target, plans, done)
        for part, plan in plans.items():
            _convert(tree, part, plan, target, done, tell)
        if tree.path(Part.DETECTOR).is_file():
            _copy(tree, target, done, tell)
        for part, name in tree.layout.configs.items():
            manifest.write_atomically(target / CONVERTED.configs[part], (source / name).read_bytes())
        done.licence = licence
        done.write(target / MANIFEST)
        (target / JOURNAL).unlink(missing_ok=True)
    return done


def _planned(tree: Tree, dtype: torch.dtype) -> dict[Part, list[Planned]]:
    """What each file will hold, once every name and shape is known to fit. Raises WeightsRefused with all faults."""
    plans: dict[Part, list[Planned]] = {}
    faults: list[Fault] = []
    for part in TENSOR_PARTS:
        file = tree.layout.files[part]
        try:
            found = tree.tensors(part)
        except WeightsRefused as refused:
            faults += refused.faults
            continue
        shapes = expected(part, tree.sizes)
        wrong = compare(shapes, found.shapes, file) or dtype_faults(found, [file.prefix + name for name in shapes])
        faults += wrong
        if not wrong:
            plans[part] = [
                Planned(name, shape, dtype if part in LARGE else found[file.prefix + name].dtype)
                for name, shape in shapes.items()
            ]
    if faults:
        raise WeightsRefused(faults)
    return plans


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    with (target / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _taken(target, "another conversion is writing here") from None
        yield


def _begun(target: Path, dtype: str, official: bool) -> Manifest:
    """What is finished there already. Raises WeightsRefused (OUTPUT_TAKEN) when it is something else."""
    for name in (JOURNAL, MANIFEST):
        if (target / name).is_file():
            found = manifest.read(target, name)
            if (found.dtype, found.official) != (dtype, official):
                kind = "official" if found.official else "reduced"
                raise _taken(target, f"holds a conversion of the {kind} model to {found.dtype}")
            return found
    if any(entry.name != LOCK for entry in target.iterdir()):
        raise _taken(target, "not empty, and not a conversion")
    return Manifest(dtype, official)


def _taken(target: Path, told: str) -> WeightsRefused:
    return WeightsRefused([Fault(WeightsCode.OUTPUT_TAKEN, str(target), found=f"{told}: choose another folder")])


def _require_space(tree: Tree, target: Path, plans: dict[Part, list[Planned]], done: Manifest) -> None:
    needed = 0
    for part, plan in plans.items():
        if not _there(target, done.files.get(CONVERTED.files[part].path)):
            needed += sum(tensor.bytes + _HEADER_PER_TENSOR for tensor in plan)
    detector = tree.path(Part.DETECTOR)
    if detector.is_file() and not _there(target, done.files.get(CONVERTED.files[Part.DETECTOR].path)):
        needed += detector.stat().st_size
    free = shutil.disk_usage(target).free
    if needed and free < needed + RESERVE:
        told = f"{free >> 20} MiB free"
        wanted = f"{(needed + RESERVE) >> 20} MiB ({needed >> 20} to write, {RESERVE >> 20} to spare)"
        raise WeightsRefused([Fault(WeightsCode.NO_SPACE, str(target), "", wanted, told)])


def _there(target: Path, record: FileRecord | None) -> bool:
    """Whether a finished file still has its size; its digest is looked at when it is its turn."""
    if record is None:
        return False
    path = target / record.path
    return path.is_file() and path.stat().st_size == record.bytes


def _convert(tree: Tree, part: Part, plan: list[Planned], target: Path, done: Manifest, tell: Tell) -> None:
    file, path = tree.layout.files[part], target / CONVERTED.files[part].path
    origin = _origin(tree, part, done.official, tell)
    if _kept(target, done.files.get(path.name), origin, part, tell):
        return
    _reopen(target)
    found, whole = tree.tensors(part), sum(tensor.bytes for tensor in plan)
    partial = path.with_name(f".{path.name}.partial")
    try:
        size, sha = write(
            partial,
            plan,
            lambda name: found[file.prefix + name],
            {"format": "pt"},
            lambda n: tell(part, "write", n, whole),
            file.path,
        )
        manifest.put_in_place(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    dtypes = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in plan})
    _remember(target, done, FileRecord(path.name, size, sha, "+".join(dtypes), origin))


def _copy(tree: Tree, target: Path, done: Manifest, tell: Tell) -> None:
    """The detector is a program, not tensors: it stays as it is."""
    part, source = Part.DETECTOR, tree.path(Part.DETECTOR)
    path = target / CONVERTED.files[part].path
    origin = _origin(tree, part, done.official, tell)
    if _kept(target, done.files.get(path.name), origin, part, tell):
        return
    _reopen(target)
    partial = path.with_name(f".{path.name}.partial")
    shutil.copyfile(source, partial)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    manifest.put_in_place(partial, path)
    _remember(target, done, FileRecord(path.name, origin.bytes, origin.sha256, "", origin))


def _origin(tree: Tree, part: Part, official: bool, tell: Tell) -> Origin:
    """The source file as it is now, which for the official model is as it was published."""
    path, name = tree.path(part), OFFICIAL.files[part].path
    size, published = path.stat().st_size, catalogue.entry(part)
    if official and published.bytes not in (None, size):
        raise WeightsRefused([Fault(WeightsCode.SIZE_DIFFERS, name, "bytes", str(published.bytes), str(size))])
    sha = digest(path, lambda n: tell(part, "digest", n, size))
    if official and published.sha256 not in (None, sha):
        raise WeightsRefused([Fault(WeightsCode.DIGEST_DIFFERS, name, "sha256", str(published.sha256), sha)])
    return Origin(name, size, sha)


def _kept(target: Path, record: FileRecord | None, origin: Origin, part: Part, tell: Tell) -> bool:
    if record is None or record.origin != origin or not _there(target, record):
        return False
    return digest(target / record.path, lambda n: tell(part, "verify", n, record.bytes)) == record.sha256


def _reopen(target: Path) -> None:
    """A finished conversion of which a file has to be made again is not finished."""
    if (target / MANIFEST).is_file():
        (target / MANIFEST).replace(target / JOURNAL)


def _remember(target: Path, done: Manifest, record: FileRecord) -> None:
    done.files[record.path] = record
    done.write(target / JOURNAL)
