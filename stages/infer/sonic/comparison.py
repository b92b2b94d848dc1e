"""The names and shapes that a file has, against those that a network wants; free of torch."""

import difflib
from collections.abc import Iterator, Mapping

from stages.infer.sonic.faults import Fault, WeightsCode
from stages.infer.sonic.layout import PartFile

Shape = tuple[int, ...]
SECOND_ADAPTER = ".to_k_ip.1."
_MOST_RENAMED = 64
"""Pairs of names are searched among so many at most: more differences are another model, not a slip."""
_ALIKE = 0.6


def compare(expected: Mapping[str, Shape], found: Mapping[str, Shape], file: PartFile) -> list[Fault]:
    """Everything that differs, both ways. ``expected`` has the module's names, ``found`` the file's."""
    if (other := next((key for key in found if SECOND_ADAPTER in key), None)) is not None:
        told = "a second audio adapter: this is a checkpoint of DICE-Talk, not of Sonic"
        return [Fault(WeightsCode.DICE_TALK, file.path, other, found=told)]
    wanted = {file.prefix + name: shape for name, shape in expected.items()}
    missing = {key: shape for key, shape in wanted.items() if key not in found}
    unexpected = {
        key: shape for key, shape in found.items() if key not in wanted and not key.startswith(file.unused or ("\0",))
    }
    if (prefixed := _prefix(missing, unexpected, len(wanted), file)) is not None:
        return [prefixed]
    faults = list(_renamed(missing, unexpected, file.path))
    for fault in faults:
        del missing[fault.expected], unexpected[fault.found]
    faults += [Fault(WeightsCode.KEY_MISSING, file.path, key, str(missing[key]), "no such key") for key in missing]
    faults += [Fault(WeightsCode.KEY_UNEXPECTED, file.path, key, "no such key", str(unexpected[key]))
               for key in unexpected]  # fmt: skip
    faults += [
        Fault(WeightsCode.SHAPE_DIFFERS, file.path, key, str(shape), str(found[key]))
        for key, shape in wanted.items()
        if key in found and found[key] != shape
    ]
    return faults


def _prefix(missing: Mapping[str, Shape], unexpected: Mapping[str, Shape], all_of: int, file: PartFile) -> Fault | None:
    """The one fault of a file whose every key stands under another prefix."""
    if not missing or len(missing) != all_of or len(unexpected) < all_of:
        return None
    first = next(iter(missing)).removeprefix(file.prefix)
    for key in unexpected:
        if key.endswith(first):
            other = key.removesuffix(first)
            if all(other + name.removeprefix(file.prefix) in unexpected for name in missing):
                told = f"{file.prefix!r} before every key"
                return Fault(WeightsCode.PREFIX_DIFFERS, file.path, key, told, repr(other))
    return None


def _renamed(missing: Mapping[str, Shape], unexpected: Mapping[str, Shape], path: str) -> Iterator[Fault]:
    """Pairs of a missing and an unexpected key of one shape and nearly one name."""
    if len(missing) > _MOST_RENAMED:
        return
    left = dict(unexpected)
    for key, shape in missing.items():
        candidates = [name for name, other in left.items() if other == shape]
        if near := difflib.get_close_matches(key, candidates[:1000], n=1, cutoff=_ALIKE):
            del left[near[0]]
            yield Fault(WeightsCode.KEY_RENAMED, path, near[0], key, near[0])
