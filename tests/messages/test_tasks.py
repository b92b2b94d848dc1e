"""A task keeps what a later version wrote."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.messages.task import RenderTask

REQUEST: dict[str, Any] = {"portrait": {"key": "default/p.png"}, "speech": {"key": "default/s.wav"}}
FINITE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(FINITE)
def test_task_keeps_unknown_fields_at_every_depth(later: Any) -> None:
    ref = {"bucket": "artifacts", "key": "k", "sha256": "0" * 64, "size": 1, "later": later}
    output = {"attempt": "a", "artifacts": {"pcm": ref}, "metadata": {"later": later}, "later": later,
               "warnings": [{"code": "SILENT_AUDIO", "message": "m", "later": later}]}  # fmt: skip
    request = {"portrait": {**REQUEST["portrait"], "later": later}, "speech": REQUEST["speech"], "later": later,
               "params": {"later": later}, "batch": {"id": "b", "index": 0, "total": 1, "later": later},
               "output": {"bucket": "o", "prefix": "default", "later": later}}  # fmt: skip
    task = {"job_id": "j", "request_id": "r", "submitted_ms": 1, "later": later, "request": request,
            "outputs": {"audio": output}}  # fmt: skip
    read = json.loads(RenderTask.parse(json.dumps(task).encode()).dump())
    stage, sent = read["outputs"]["audio"], read["request"]
    assert [
        read["later"], sent["later"], sent["portrait"]["later"], sent["params"]["later"], sent["batch"]["later"],
        sent["output"]["later"], stage["later"], stage["metadata"]["later"], stage["artifacts"]["pcm"]["later"],
        stage["warnings"][0]["later"],
    ] == [later] * 10  # fmt: skip


def test_byte_order_mark_before_a_task_is_skipped() -> None:
    task = json.dumps({"job_id": "j", "request_id": "r", "submitted_ms": 1.0, "request": REQUEST}).encode()
    assert RenderTask.parse(b"\xef\xbb\xbf" + task) == RenderTask.parse(task)
