"""Ends of jobs and their replays, on the real object store: one end for each replay, whatever arrives twice."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.messages.codes import Code
from shared.messages.events import Done, Failed, RejectedEvent, TerminalEvent
from shared.messages.refs import ArtifactRef
from shared.storage import keys, markers
from shared.storage.documents import DocumentStore
from shared.storage.errors import ArtifactAltered

RACERS = 8
RACES = 10
REF = ArtifactRef(key="jobs/default/j/encode/1/video.mp4", sha256="0" * 64, size=1)


@pytest.fixture
def job() -> str:
    return uuid.uuid4().hex


def failed(job: str, replays: int = 0, code: Code = Code.POISON, request: str = "r") -> Failed:
    base = {"job_id": job, "tenant": "default", "request_id": request, "time_ms": 1}
    return Failed(**base, replays=replays, stage="face", code=code, message="m")


def done(job: str, replays: int = 0) -> Done:
    return Done(
        job_id=job, tenant="default", request_id="r", time_ms=1, replays=replays, video=REF, poster=REF,
        duration_s=1.0, width=8, height=8, fps=25, engine="puppet", container_drift_ms=0.0, audio_drift_ms=0,
        seconds={}, total_s=1.0,
    )  # fmt: skip


def rejected(job: str) -> RejectedEvent:
    base = {"job_id": job, "tenant": "default", "request_id": "r", "time_ms": 1}
    return RejectedEvent(**base, stage="face", code=Code.NO_FACE, message="m")


def test_replay_continues_a_failed_job_and_ends_it_once(documents: DocumentStore, job: str) -> None:
    assert markers.claim_end(documents, "default", job, failed(job)).won
    for _ in range(2):  # Delivered twice, also after a service that died in between.
        assert markers.continue_job(documents, "default", job, 1) is None
        assert markers.read_end(documents, "default", job) is None
    assert markers.claim_end(documents, "default", job, done(job, 1)).won
    again = markers.claim_end(documents, "default", job, failed(job, 1))
    assert (again.won, again.winner) == (False, done(job, 1))
    assert markers.read_end(documents, "default", job) == done(job, 1)


def test_replay_that_fails_can_be_replayed_again_by_a_later_number_only(documents: DocumentStore, job: str) -> None:
    markers.claim_end(documents, "default", job, failed(job))
    assert markers.continue_job(documents, "default", job, 2) is None
    assert markers.continue_job(documents, "default", job, 1) == failed(job), "an older one, delivered late"
    assert markers.claim_end(documents, "default", job, failed(job, 2)).won
    for late in (0, 1, 2):
        assert markers.continue_job(documents, "default", job, late) == failed(job, 2)
    assert markers.continue_job(documents, "default", job, 3) is None


def test_earlier_run_ends_nothing_while_a_replay_continues_the_job(documents: DocumentStore, job: str) -> None:
    markers.claim_end(documents, "default", job, failed(job))
    markers.continue_job(documents, "default", job, 1)
    late = markers.claim_end(documents, "default", job, done(job))
    assert (late.won, late.winner) == (False, failed(job))
    assert markers.read_end(documents, "default", job) is None


def test_end_of_a_replay_replaces_the_failure_also_without_being_announced(documents: DocumentStore, job: str) -> None:
    """As after an unreadable record: it is never continued, and fails again."""
    markers.claim_end(documents, "default", job, failed(job))
    assert markers.claim_end(documents, "default", job, failed(job, 1)).won


@pytest.mark.parametrize("kind", ["done", "rejected", "cancelled"])
def test_other_ends_stand(documents: DocumentStore, job: str, kind: str) -> None:
    ends: dict[str, TerminalEvent] = {
        "done": done(job),
        "rejected": rejected(job),
        "cancelled": failed(job, code=Code.CANCELLED),
    }
    end = ends[kind]
    markers.claim_end(documents, "default", job, end)
    assert markers.continue_job(documents, "default", job, 1) == end
    assert markers.claim_end(documents, "default", job, done(job, 1)).winner == end
    assert markers.read_end(documents, "default", job) == end


def test_job_that_has_not_ended_goes_on(documents: DocumentStore, job: str) -> None:
    for replays in (0, 1):
        assert markers.continue_job(documents, "default", job, replays) is None
    assert documents.get(keys.end("default", job)) is None


def test_cancel_ends_whatever_replay_is_current(documents: DocumentStore, job: str) -> None:
    markers.claim_end(documents, "default", job, failed(job))
    markers.continue_job(documents, "default", job, 2)
    cancelled = failed(job, code=Code.CANCELLED)
    claim = markers.claim_end(documents, "default", job, cancelled, of_any_replay=True)
    assert (claim.won, claim.winner) == (True, cancelled.model_copy(update={"replays": 2}))
    assert markers.claim_end(documents, "default", job, done(job, 2)).winner == claim.winner


def test_races_of_ends_have_one_winner_each(documents: DocumentStore) -> None:
    for _ in range(RACES):
        job = uuid.uuid4().hex
        markers.claim_end(documents, "default", job, failed(job))

        def run(number: int, job: str = job) -> bool:
            if markers.continue_job(documents, "default", job, 1) is not None:
                return False  # Another one has ended the replay by now.
            return markers.claim_end(documents, "default", job, failed(job, 1, request=str(number))).won

        with ThreadPoolExecutor(RACERS) as pool:
            won = list(pool.map(run, range(RACERS)))
        assert won.count(True) == 1
        end = markers.read_end(documents, "default", job)
        assert end is not None
        assert end.request_id == str(won.index(True))


def test_damaged_end_is_not_replaced(documents: DocumentStore, job: str) -> None:
    documents.put(keys.end("default", job), {"type": "of a later version"})
    for call in (
        lambda: markers.continue_job(documents, "default", job, 1),
        lambda: markers.claim_end(documents, "default", job, failed(job, 1)),
        lambda: markers.read_end(documents, "default", job),
    ):
        with pytest.raises(ArtifactAltered):
            call()


def test_replace_needs_the_expected_value(documents: DocumentStore, job: str) -> None:
    key = keys.end("default", job)
    assert not documents.replace(key, {"n": 1}, {"n": 2}), "nothing is there"
    assert documents.put_once(key, {"n": 1})
    assert not documents.replace(key, {"n": 7}, {"n": 2})
    assert documents.replace(key, {"n": 1}, {"n": 2})
    assert documents.replace(key, {"n": 1}, {"n": 2}), "as after an answer that was lost"
    assert documents.get(key) == {"n": 2}
