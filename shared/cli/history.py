"""Jobs of the past, from the newest events and from the store's own documents; always bounded."""

from collections.abc import Iterable

from shared.cli.connection import Connection
from shared.cli.errors import CliError, Unreachable
from shared.cli.events import Job, Offsets, offsets, scan
from shared.cli.job_state import JobState
from shared.messages.events import TERMINAL_TYPES, AnyEvent, TerminalEvent
from shared.storage import markers
from shared.storage.errors import StorageError, StoreUnavailable
from shared.storage.markers import RequestRecord


def gather(events: Iterable[AnyEvent]) -> list[JobState]:
    """The jobs these events tell of, newest first."""
    jobs: dict[Job, JobState] = {}
    for event in events:
        job = Job(event.tenant, event.job_id)
        jobs.setdefault(job, JobState(job.job_id, job.tenant)).apply(event)
    # A job known by refused requests alone has no time and comes last.
    return sorted(jobs.values(), key=lambda job: (job.first_ms, job.job_id, job.tenant), reverse=True)


def recent(connection: Connection, scan_records: int, tenant: str | None = None) -> list[JobState]:
    """Jobs of the newest events, newest first; of every tenant, or of one. Raises Unreachable."""
    events = scan(connection, offsets(connection, scan_records))
    return gather(event for event in events if tenant in (None, event.tenant))


def past(connection: Connection, job: Job, scan_records: int) -> tuple[list[AnyEvent], Offsets]:
    """The job's events among the newest, in the order of their times, its end last; and where to go on reading.

    Raises Unreachable.
    """
    at = offsets(connection, scan_records)
    found = [e for e in scan(connection, at, job.job_id) if e.tenant == job.tenant]
    # Those of one job may lie on two partitions, when the topic has grown between them.
    return sorted(found, key=lambda e: (e.type in TERMINAL_TYPES, e.time_ms)), at


def looked_up(connection: Connection, job: Job, scan_records: int) -> JobState:
    """A job from the newest events, else from the end that the store keeps. Raises CliError when nobody knows it."""
    of_id = gather(scan(connection, offsets(connection, scan_records), job.job_id))
    state = next((one for one in of_id if one.tenant == job.tenant), None)
    if state is None or state.end is None:
        end = stored_end(connection, job)
        if end is not None:
            state = state or JobState(job.job_id, job.tenant)
            state.apply(end)
    if state is None:
        others = " or ".join(sorted(f"--tenant {one.tenant}" for one in of_id))
        raise CliError(
            f"nothing is known of the job {job.job_id} of the tenant {job.tenant}",
            f"there is one of this id with {others}"
            if others
            else "it may still be waiting for a service, belong to another --tenant, or be older than --scan reaches",
        )
    return state


def stored_end(connection: Connection, job: Job) -> TerminalEvent | None:
    """The end as the store keeps it. Raises Unreachable."""
    try:
        return markers.read_end(connection.documents, job.tenant, job.job_id)
    except StoreUnavailable as e:
        raise Unreachable(str(e)) from None
    except (StorageError, ValueError) as e:
        raise CliError(f"the stored end of job {job.job_id} can't be read: {e}") from None


def stored_request(connection: Connection, job: Job) -> RequestRecord | None:
    """The request as first accepted. Raises Unreachable."""
    try:
        return markers.read_request(connection.documents, job.tenant, job.job_id)
    except StoreUnavailable as e:
        raise Unreachable(str(e)) from None
    except (StorageError, ValueError) as e:
        raise CliError(f"the stored request of job {job.job_id} can't be read: {e}") from None
