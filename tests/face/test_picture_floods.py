"""Pictures with huge numbers of tiny parts: the work for them is bounded."""

from pathlib import Path

import numpy as np
import pytest

from shared.messages.codes import Code
from stages.face.heif_items import MAX_ENTRIES, MAX_ENTRY_BYTES, require_readable_items
from tests.face.pictures import cut_out
from tests.face.test_face_decode import Decode, decode, difference, refused

__all__ = ["decode"]

HEIC = (Path(__file__).parent / "data" / "portrait.heic").read_bytes()


class Watched(bytes):
    """Bytes that count those that are copied out of them."""

    copied = 0

    def __getitem__(self, key):  # type: ignore[no-untyped-def,override]
        part = super().__getitem__(key)
        Watched.copied += len(part) if isinstance(part, bytes) else 1
        return part


def entry(version: int, size: int) -> bytes:
    return size.to_bytes(4, "big") + b"infe" + bytes([version]) + bytes(20)


def test_item_entries_of_a_heic_are_limited(decode: Decode) -> None:
    assert refused(decode, HEIC + entry(2, 29) * (MAX_ENTRIES + 1)).code == Code.IMAGE_UNREADABLE
    assert refused(decode, HEIC + entry(2, MAX_ENTRY_BYTES + 100)).code == Code.IMAGE_UNREADABLE
    assert difference(decode(HEIC + entry(2, 29) * 300), np.asarray(cut_out())) < 4


@pytest.mark.parametrize("flood", [b"infe" * 4000, entry(9, 2**31) * 4000], ids=["letters", "other-version"])
def test_letters_of_an_item_entry_are_not_copied(flood: bytes) -> None:
    Watched.copied = 0
    require_readable_items(Watched(HEIC + flood))
    assert Watched.copied < 4000 * 16
