"""Jobs of the past, from the newest events and from the store's own documents; always bounded."""

from collections.abc import Iterable

from shared.cli.connection import Connection
from shared.cli.errors import CliError, Unreachable
from shared.cli.events import positions, scan
from shared.cli.job_state import JobState
from shared.messages.events import AnyEvent, Done, Failed, RejectedEvent
from shared.storage import markers
from shared.storage.errors import StorageError, StoreUnavailable
from shared.storage.markers import RequestRecord


def gather(events: Iterable[AnyEvent]) -> list[JobState]:
    """The jobs these events tell of, newest first."""
    jobs: dict[str, JobState] = {}
    for event in events:
        jobs.setdefault(event.job_id, JobState(event.job_id)).apply(event)
    # A job known by refused requests alone has no time and comes last.
    return sorted(jobs.values(), key=lambda job: (job.first_ms, job.job_id), reverse=True)


def recent(connection: Connection, scan_records: int) -> list[JobState]:
    """Jobs of the newest events, newest first. Raises Unreachable."""
    return gather(scan(connection, positions(connection, scan_records)))


def known(connection: Connection, job_id: str, scan_records: int) -> JobState | None:
    """One job from the newest events of its partition; None when they do not tell of it. Raises Unreachable."""
    events = (e for e in scan(connection, positions(connection, scan_records, job_id)) if e.job_id == job_id)
    return next(iter(gather(events)), None)


def looked_up(connection: Connection, job_id: str, tenant: str, scan_records: int) -> JobState:
    """As ``known``, else from the end that the store keeps. Raises CliError when nobody knows the job."""
    job = known(connection, job_id, scan_records)
    if job is None or job.end is None:
        end = stored_end(connection, job.tenant if job and job.tenant else tenant, job_id)
        if end is not None:
            job = job or JobState(job_id)
            job.apply(end)
    if job is None:
        raise CliError(
            f"nothing is known of the job {job_id}",
            "it may still be waiting for a service, belong to another --tenant, or be older than --scan reaches",
        )
    return job


def stored_end(connection: Connection, tenant: str, job_id: str) -> Done | RejectedEvent | Failed | None:
    """The end as the store keeps it. Raises Unreachable."""
    try:
        return markers.read_end(connection.documents, tenant, job_id)
    except StoreUnavailable as e:
        raise Unreachable(str(e)) from None
    except (StorageError, ValueError) as e:
        raise CliError(f"the stored end of job {job_id} can't be read: {e}") from None


def stored_request(connection: Connection, tenant: str, job_id: str) -> RequestRecord | None:
    """The request as first accepted. Raises Unreachable."""
    try:
        return markers.read_request(connection.documents, tenant, job_id)
    except StoreUnavailable as e:
        raise Unreachable(str(e)) from None
    except (StorageError, ValueError) as e:
        raise CliError(f"the stored request of job {job_id} can't be read: {e}") from None
