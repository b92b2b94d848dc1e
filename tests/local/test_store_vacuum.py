"""When the files of the object store are rewritten: with what the store would answer in place of the real one."""

from pathlib import Path
from typing import Any

import pytest

from shared.local import stack_file, store_vacuum
from shared.local.stack_file import Stack

TOKEN = b"token"


class Store:
    """Two files, one after the other. The second one's objects are marked before the request of number ``marked``, the
    first one's right after that request has passed the first file."""

    def __init__(self, folder: Path, marked: float) -> None:
        self.first, self.second = folder / "1.dat", folder / "2.dat"
        self.first.write_bytes(b"a deleted object")
        self.second.write_bytes(TOKEN)
        self.marked = marked
        self.requests = 0

    def rewrite(self, _: Stack) -> None:
        self.requests += 1
        if self.requests > self.marked:
            self.first.write_bytes(b"")
        if self.requests >= self.marked:
            self.second.write_bytes(b"")


def stack_of(folder: Path) -> Stack:
    made = stack_file.fresh(folder)
    made.s3_endpoint_url = "http://127.0.0.1:1"
    return made


def vacuum(store: Store, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> bool:
    def deleted(_s3: Any, _bucket: str, token: bytes, _data: Path) -> list[Path]:
        store.second.write_bytes(store.second.read_bytes().replace(TOKEN, token))
        return [store.second]

    monkeypatch.setattr(store_vacuum, "_deleted", deleted)
    monkeypatch.setattr(store_vacuum, "_ask", store.rewrite)
    monkeypatch.setattr(store_vacuum.store, "client", lambda *_: None)
    monkeypatch.setattr(store_vacuum, "credentials_of", lambda _: None)
    return store_vacuum.vacuum(stack)


@pytest.mark.parametrize("marked", [1, 3])
def test_files_before_that_of_the_last_object_are_rewritten_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marked: int
) -> None:
    made = Store(tmp_path, marked)
    assert vacuum(made, stack_of(tmp_path), monkeypatch)
    assert made.first.read_bytes() == b""
    assert made.requests == marked + 1


def test_object_that_is_never_marked_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_vacuum, "SETTLED_S", 0.05)
    assert not vacuum(Store(tmp_path, float("inf")), stack_of(tmp_path), monkeypatch)
