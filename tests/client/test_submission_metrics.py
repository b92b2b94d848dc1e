"""Submissions are counted by their result."""

import pytest
from prometheus_client import REGISTRY

from shared.client.errors import BrokerUnreachable, JobConflict
from shared.client.job_key import JobKey
from shared.client.submission import Submission
from shared.client.submission_metrics import measured_submission

RESULTS = ("sent", "duplicate", "refused", "unreachable")


def counts() -> list[float]:
    name = "lipstage_client_submissions_total"
    return [REGISTRY.get_sample_value(name, {"result": result}) or 0.0 for result in RESULTS]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Submission(JobKey("default", "a"), "r", "", "0"), "sent"),
        (Submission(JobKey("default", "a"), "r", "", "0", is_repeat=True), "duplicate"),
        (JobConflict("another"), "refused"),
        (BrokerUnreachable("away"), "unreachable"),
    ],
)
def test_submission_is_counted_once_by_its_result(outcome: Submission | Exception, expected: str) -> None:
    before = counts()
    try:
        with measured_submission() as measured:
            if isinstance(outcome, Exception):
                raise outcome
            assert measured(outcome) is outcome
    except (JobConflict, BrokerUnreachable) as e:
        assert e is outcome
    grown = [after - earlier for after, earlier in zip(counts(), before, strict=True)]
    assert dict(zip(RESULTS, grown, strict=True)) == {**dict.fromkeys(RESULTS, 0), expected: 1}
