"""Batches whose headers have names that are not UTF-8, as aiokafka's fetcher reads them; without a broker."""

from typing import Any

import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchBuilderPy

from stages.gateway.projection.lenient_records import LenientRecords


class Name(str):
    """A name of a header as other clients can send it."""

    def encode(self, *_: Any) -> bytes:  # type: ignore[override]
        return b"a\xff"


def batch(*names: str, codec: int = 0) -> bytes:
    """A batch with a record for each name of a header."""
    builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, -1, 1 << 20)
    for offset, name in enumerate(names):
        builder.append(offset, 1000, b"key", b"\xfevalue", [(name, b"\xff"), ("other", None)])
    return bytes(builder.build())


def read(data: bytes) -> list[list[tuple[Any, ...]]]:
    records, found = LenientRecords(data), []
    while records.has_next():
        one = records.next_batch()
        assert one.validate_crc()
        found.append([(record.offset, record.key, record.value, *dict(record.headers)) for record in one])
    assert records.next_batch() is None
    return found


@pytest.mark.parametrize("codec", [0, 1, 3], ids=["plain", "gzip", "lz4"])
def test_names_that_are_not_utf_8_are_replaced_and_nothing_else_changes(codec: int) -> None:
    data = batch("fine") + batch("fine", Name("x"), "fine", codec=codec)
    fine, bad = ((b"key", b"\xfevalue", name, "other") for name in ("fine", "a\ufffd"))
    assert read(data) == [[(0, *fine)], [(0, *fine), (1, *bad), (2, *fine)]]


def test_what_other_batches_are_read_by_stays_the_fast_reader() -> None:
    assert type(LenientRecords(batch("fine")).next_batch()) is DefaultRecordBatch


def test_a_corrupt_batch_is_still_an_error() -> None:
    data = bytearray(batch("fine"))
    data[_DefaultRecordBatchBuilderPy.HEADER_STRUCT.size] = 0x7E  # The length of the record.
    with pytest.raises(CorruptRecordException):
        list(LenientRecords(bytes(data)).next_batch())
