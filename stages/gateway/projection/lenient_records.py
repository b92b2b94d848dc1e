"""aiokafka's reader of fetched batches, changed in one point: a name of a header that is not UTF-8 stops nothing.

aiokafka decodes the names while it unpacks a batch, and raises: the process would end at the same record for ever.
"""

from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy


class _Bytes(bytearray):
    """Parts of it are decoded without an error."""

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return _Bytes(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # It is marked as final.
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Bytes(self._buffer)


class LenientRecords(_MemoryRecordsPy):  # type: ignore[misc]
    """Gives batches of aiokafka's fast reader where that can read them, else of its Python one, made lenient."""

    def next_batch(self, *args: Any) -> Any:
        """The next batch; None after the last."""
        data, batch = self._next_slice, super().next_batch(*args)
        if not isinstance(batch, DefaultRecordBatch):
            return batch
        try:
            for _ in DefaultRecordBatch(data):
                pass
        except (UnicodeDecodeError, CorruptRecordException):
            return _LenientBatch(data)  # What is corrupt indeed is so for it, too.
        return batch


def install() -> None:
    """Make every consumer of this process read in this way."""
    fetcher.MemoryRecords = LenientRecords
