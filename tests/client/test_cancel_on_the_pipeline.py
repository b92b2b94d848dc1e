"""A cancel by the client library against real services: one end, and a stage that goes on with other jobs."""

import uuid
from pathlib import Path

import pytest

from shared.client import Client, Deployment, JobKey
from shared.messages.codes import Code
from shared.messages.events import AnyEvent, Failed
from shared.storage import keys
from tests.conftest import ROOT
from tests.pipeline.conftest import Pipeline, spoken

PORTRAIT = ROOT / "samples" / "portrait.png"
WAIT_S = 240.0


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    path = tmp_path / "speech.wav"
    path.write_bytes(spoken(9.5))
    return path


def ends(events: list[AnyEvent]) -> list[Failed]:
    return [event for event in events if isinstance(event, Failed)]


def test_a_job_in_a_stage_and_one_in_the_queue_end_at_once_and_once(pipeline: Pipeline, speech: Path) -> None:
    with Client(Deployment()) as client:
        start = client.position()
        params = {"min_resolution": 512}
        # Large, and the other one is sent before: between the first progress and the cancel little has to happen.
        large = {"min_resolution": 768}
        running = client.submit(client.job_spec(PORTRAIT, speech, params=large, job_id=uuid.uuid4().hex))
        queued = client.submit(client.job_spec(PORTRAIT, speech, params=params, labels={"n": "2"}))
        for event in client.follow(running, dict(start), timeout_s=WAIT_S):
            if event.type == "progress" and event.stage == "infer":
                break
        for submission in (running, queued):
            cancelled = client.cancel(submission)
            assert cancelled is not None
            assert cancelled.code is Code.CANCELLED
            assert client.terminal_event(submission) == cancelled
        # The infer stage is free again, and its settlement of both jobs lies before the end of the next one.
        short = speech.with_name("short.wav")
        short.write_bytes(spoken(0.5))
        after = client.submit(client.job_spec(PORTRAIT, short, params=params))
        assert client.wait(after, start=dict(start), timeout_s=WAIT_S).type == "done"
        for submission in (running, queued):
            found = ends(client.past_events(submission)[0])
            assert {event.model_dump_json() for event in found} == {client.terminal_event(submission).model_dump_json()}  # type: ignore[union-attr]
            prefix = keys.stage_prefix(*JobKey("default", submission.job_id), "encode")
            assert list(client.connection.artifacts.list_prefix(prefix)) == []
