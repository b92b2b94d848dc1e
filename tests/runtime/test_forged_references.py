"""Requests that name what is not theirs: refused before the object store is asked for anything of theirs."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.messages.codes import Code
from shared.messages.refs import InputRef
from shared.storage.inputs import InputHead
from shared.storage.streams import Digest
from tests.runtime.memory import MemoryInputs
from tests.runtime.memory_stage import FRONT, MemoryStage

FORGED = {
    "http": "http://169.254.169.254/latest/meta-data/",
    "file": "file:///etc/passwd",
    "s3": "s3://other/default/a.png",
    "absolute": "/etc/passwd",
    "parent": "default/../acme/a.png",
    "backslash": "default\\..\\acme\\a.png",
    "other tenant": "acme/a.png",
    "prefix of a name": "default2/a.png",
    "line break": "default/a\nacme/a.png",
    "nul": "default/a\0",
    "long": "default/" + "x" * 1100,
}


class CountedInputs(MemoryInputs):
    """Records every request to the object store."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def head(self, ref: InputRef, tenant: str) -> InputHead:
        self.asked.append(ref.key)
        return super().head(ref, tenant)

    def get(self, ref: InputRef, path: Path, max_bytes: int, *, tenant: str) -> Digest:
        self.asked.append(ref.key)
        return super().get(ref, path, max_bytes, tenant=tenant)


def body(**fields: Any) -> bytes:
    return json.dumps({"portrait": {"key": "default/p"}, "speech": {"key": "default/s"}} | fields).encode()


@pytest.mark.parametrize("field", ["portrait", "speech", "output"])
@pytest.mark.parametrize("key", FORGED.values(), ids=FORGED)
def test_forged_key_is_rejected_before_the_object_store_is_asked(tmp_path: Path, field: str, key: str) -> None:
    rig = MemoryStage(FRONT, tmp_path)
    rig.store.inputs = inputs = CountedInputs()
    value = {"bucket": "films", "prefix": key} if field == "output" else {"key": key}
    rig.handle(body(**{field: value}))
    end = rig.end()
    assert end.type == "rejected"
    assert end.code in (Code.INVALID_REQUEST, Code.INPUT_FORBIDDEN)
    assert end.field.startswith(field)
    assert inputs.asked == []


def test_own_key_is_asked_for(tmp_path: Path) -> None:
    rig = MemoryStage(FRONT, tmp_path)
    rig.store.inputs = inputs = CountedInputs()
    rig.handle(body())
    assert inputs.asked
