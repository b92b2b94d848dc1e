"""What tenants have used, on the real object store: exact under concurrent writers, each job counted once."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.storage import keys, usage
from shared.storage.documents import DocumentStore

LIMIT, RACERS = 5, 12
HOUR = "2026-11-30T05"


@pytest.fixture
def tenant() -> str:
    return f"t-{uuid.uuid4().hex[:12]}"


def test_concurrent_admissions_fill_the_places_and_no_more(documents: DocumentStore, tenant: str) -> None:
    def admit(number: int) -> bool:
        return usage.admit(documents, tenant, f"job-{number}", LIMIT, number).has(f"job-{number}")

    with ThreadPoolExecutor(RACERS) as racers:
        admitted = list(racers.map(admit, range(RACERS)))
    assert admitted.count(True) == LIMIT
    assert len(usage.jobs_in_flight(documents, tenant).jobs) == LIMIT


def test_concurrent_releases_lose_none(documents: DocumentStore, tenant: str) -> None:
    for number in range(LIMIT):
        usage.admit(documents, tenant, f"job-{number}", LIMIT, number)
    with ThreadPoolExecutor(LIMIT) as racers:
        list(racers.map(lambda number: usage.release(documents, tenant, f"job-{number}"), range(1, LIMIT)))
    assert usage.jobs_in_flight(documents, tenant).jobs == (("job-0", 0),)


def test_concurrent_charges_do_not_exceed_the_limit(documents: DocumentStore, tenant: str) -> None:
    def charge(number: int) -> bool:
        return usage.charge(documents, tenant, HOUR, f"job-{number}", "speech_s_per_hour", 2.5, 10.0).has(
            f"job-{number}"
        )

    with ThreadPoolExecutor(RACERS) as racers:
        charged = list(racers.map(charge, range(RACERS)))
    assert charged.count(True) == 4
    assert usage.hour_usage(documents, tenant, HOUR).of("speech_s_per_hour").total == 10.0


def test_job_is_charged_once_and_each_quota_by_itself(documents: DocumentStore, tenant: str) -> None:
    for _ in range(2):
        usage.charge(documents, tenant, HOUR, "job", "speech_s_per_hour", 2.5, 10.0)
        usage.charge(documents, tenant, HOUR, "job", "pixels_per_hour", 100, 1000)
    used = usage.hour_usage(documents, tenant, HOUR)
    assert (used.of("speech_s_per_hour").total, used.of("pixels_per_hour").total) == (2.5, 100)
    assert usage.hour_usage(documents, tenant, "2026-11-30T06").amounts == {}


@pytest.mark.parametrize("damaged", [["no", "usage"], {"jobs": "none"}])
def test_damaged_document_is_begun_anew(documents: DocumentStore, tenant: str, damaged: object) -> None:
    documents.put(keys.jobs_in_flight(tenant), damaged)  # type: ignore[arg-type]
    assert usage.admit(documents, tenant, "job", 1, 0).has("job")
    assert usage.jobs_in_flight(documents, tenant).jobs == (("job", 0),)


def test_sum_of_many_jobs_stays_exact_and_its_document_small() -> None:
    amounts = usage.Amounts()
    for number in range(5 * usage.REMEMBERED_JOBS):
        amounts = amounts.with_amount(f"job-{number}", 1.5)
    assert amounts.total == 5 * usage.REMEMBERED_JOBS * 1.5
    assert usage.REMEMBERED_JOBS <= len(amounts.jobs) < 2 * usage.REMEMBERED_JOBS
    assert amounts.has(f"job-{5 * usage.REMEMBERED_JOBS - usage.REMEMBERED_JOBS}")
    assert len(amounts.model_dump_json()) < 100_000


def test_hour_ends_with_the_hour_of_utc() -> None:
    just_before = 1_795_478_399_999
    assert usage.hour_ends_ms(just_before) == just_before + 1
    assert usage.hour_of(just_before) != usage.hour_of(just_before + 1)
