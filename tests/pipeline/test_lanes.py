"""A bulk render through every stage: its topics, its one trace, its ids; also when it was sent to the other topic."""

import uuid

import pytest

from shared.messages.identity import request_id
from tests.pipeline.client import Client, body
from tests.pipeline.conftest import spoken, unseen_start

BULK = ("render.face.bulk", "render.infer.puppet.bulk", "render.encode.bulk")


@pytest.mark.parametrize("sent_to", ["render.requests", "render.requests.bulk"])
def test_bulk_request_goes_on_in_its_lane_in_one_trace(client: Client, portrait: str, sent_to: str) -> None:
    """Without a job id, so that it derives from the record that the sender knows."""
    speech = client.upload(spoken(0.4, unseen_start()))
    value = body(portrait, speech, lane="bulk", labels={"take": uuid.uuid4().hex})
    place = client.produce(sent_to, value)
    job = request_id(sent_to, *place, value)
    client.done(job)
    names = ["process render.requests.bulk", *(f"process {topic}" for topic in BULK), "render"]
    spans = client.spans(job, *names)
    assert {name for name in names if name not in [span["name"] for span in spans]} == set()
    assert len({span["trace_id"] for span in spans}) == 1
    started = [event.stage for event in client.events[job] if event.type == "started"]
    # Encode begins twice when its early attempt gives way.
    assert list(dict.fromkeys(started)) == ["audio", "face", "infer", "encode"], "no work but in the bulk lane"
    assert [event.type for event in client.events[job]].count("accepted") == 1


def test_interactive_request_on_the_bulk_topic_is_a_bulk_job(client: Client, portrait: str) -> None:
    job = uuid.uuid4().hex
    value = body(portrait, client.upload(spoken(0.4, unseen_start())))
    client.produce("render.requests.bulk", value, job)
    client.done(job)
    assert client.spans(job, *(f"process {topic}" for topic in BULK))
