"""Names and shapes of a file's tensors against those that a network expects; free of torch."""

import difflib
from collections.abc import Iterator, Mapping

from stages.infer.sonic.weights.faults import Fault, WeightsCode
from stages.infer.sonic.weights.layout import PartFile

Shape = tuple[int, ...]
SECOND_ADAPTER = ".to_k_ip.1."
_MAX_RENAMED = 64
"""With more missing names than this the file is another model's, so no pairs are searched."""
_MIN_SIMILARITY = 0.6


def compare(expected: Mapping[str, Shape], present: Mapping[str, Shape], file: PartFile) -> list[Fault]:
    """Every difference in both directions. ``expected`` has the module's names, ``present`` the file's."""
    if (other := next((key for key in present if SECOND_ADAPTER in key), None)) is not None:
        reason = "a second audio adapter: this is a checkpoint of DICE-Talk, not of Sonic"
        return [Fault(WeightsCode.DICE_TALK, file.path, other, found=reason)]
    wanted = {file.prefix + name: shape for name, shape in expected.items()}
    missing = {key: shape for key, shape in wanted.items() if key not in present}
    unexpected = {
        key: shape for key, shape in present.items() if key not in wanted and not key.startswith(file.unused or ("\0",))
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
        Fault(WeightsCode.SHAPE_DIFFERS, file.path, key, str(shape), str(present[key]))
        for key, shape in wanted.items()
        if key in present and present[key] != shape
    ]
    return faults


def _prefix(missing: Mapping[str, Shape], unexpected: Mapping[str, Shape], total: int, file: PartFile) -> Fault | None:
    """The one fault of a file in which every key has another prefix."""
    if not missing or len(missing) != total or len(unexpected) < total:
        return None
    first = next(iter(missing)).removeprefix(file.prefix)
    for key in unexpected:
        if key.endswith(first):
            other = key.removesuffix(first)
            if all(other + name.removeprefix(file.prefix) in unexpected for name in missing):
                prefix = f"{file.prefix!r} before every key"
                return Fault(WeightsCode.PREFIX_DIFFERS, file.path, key, prefix, repr(other))
    return None


def _renamed(missing: Mapping[str, Shape], unexpected: Mapping[str, Shape], path: str) -> Iterator[Fault]:
    """Pairs of a missing and an unexpected key with equal shapes and similar names."""
    if len(missing) > _MAX_RENAMED:
        return
    remaining = dict(unexpected)
    for key, shape in missing.items():
        candidates = [name for name, other in remaining.items() if other == shape]
        if matches := difflib.get_close_matches(key, candidates[:1000], n=1, cutoff=_MIN_SIMILARITY):
            del remaining[matches[0]]
            yield Fault(WeightsCode.KEY_RENAMED, path, matches[0], key, matches[0])
