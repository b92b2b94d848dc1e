"""How often a record's process died, kept in the metadata of the group's committed offsets.

A count must survive the SIGKILL of the whole service, so the broker keeps it: while a record runs, its count there is
the number of its crashes plus one. A release without a crash takes the one back; after a crash nobody does.
"""

import json
from collections.abc import Mapping

VERSION = 1
MAX_BYTES = 4000
"""Largest metadata that is written, bytes. Brokers refuse more than 4096 (``offset.metadata.max.bytes``). An entry
takes at most 30: the running records of 64 slots and as many earlier crashes fit."""
MAX_COUNT = 1_000_000
MAX_OFFSET = 2**63 - 1


def parse_counts(metadata: str | None) -> dict[int, int]:
    """Read counts by offset. Never raises: metadata of another version or another program holds no counts."""
    try:
        document = json.loads(metadata or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(document, dict) or document.get("v") != VERSION or not isinstance(document.get("n"), dict):
        return {}
    counts = {}
    for key, count in document["n"].items():
        if key.isascii() and key.isdigit() and len(key) <= len(str(MAX_OFFSET)) and type(count) is int and count > 0:
            counts[int(key)] = min(count, MAX_COUNT)
    return counts


def dump_counts(counts: Mapping[int, int]) -> str:
    """The counts as metadata: at most MAX_BYTES long, empty when there are none; the highest counts are kept."""
    kept = sorted(counts, key=lambda offset: (-counts[offset], offset))
    while kept:
        entries = {str(offset): counts[offset] for offset in sorted(kept)}
        text = json.dumps({"v": VERSION, "n": entries}, separators=(",", ":"))
        if len(text) <= MAX_BYTES:
            return text
        kept.pop()
    return ""


class AttemptCounts:
    """The counts of the unsettled records of one partition. Used by the consumer loop's thread only."""

    def __init__(self, crashes: Mapping[int, int]) -> None:
        """``crashes``: number of crashes by offset, as read from the broker."""
        self._crashes = {offset: count for offset, count in crashes.items() if count > 0}
        self._running: set[int] = set()

    @property
    def running(self) -> frozenset[int]:
        """Offsets of the records that run."""
        return frozenset(self._running)

    def crashes(self, offset: int) -> int:
        """How often the worker process or the service died on the record at this offset."""
        return self._crashes.get(offset, 0)

    def start(self, offset: int) -> None:
        """The record is about to run: from the next commit on, a death of the service counts."""
        self._running.add(offset)

    def crash(self, offset: int) -> None:
        """The worker process died on the record."""
        self._crashes[offset] = self.crashes(offset) + 1

    def release(self, offset: int) -> None:
        """The record stopped running without being settled, and without a crash."""
        self._running.discard(offset)

    def settle(self, offset: int) -> None:
        """The record is settled: its crashes no longer matter."""
        self._running.discard(offset)
        self._crashes.pop(offset, None)

    def clear(self) -> None:
        """The offsets now belong to other records: the topic was recreated."""
        self._running.clear()
        self._crashes.clear()

    def metadata(self, base: int) -> str:
        """What to commit with the offset ``base``; records before it are settled or no longer exist."""
        counts = {
            offset: self.crashes(offset) + (offset in self._running)
            for offset in self._crashes.keys() | self._running
            if offset >= base
        }
        return dump_counts(counts)
