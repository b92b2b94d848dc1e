"""What tenants have used of their quotas, and when the hour ends."""

import time
from dataclasses import dataclass

from shared.client.connection import Connection
from shared.client.errors import InvalidDeployment, StoreUnreachable
from shared.messages.quotas import HOURLY, JOBS, InvalidQuotas, Quota, Quotas, TenantQuotas, read_quotas
from shared.storage import keys, usage
from shared.storage.errors import StorageError


@dataclass(frozen=True, slots=True)
class QuotaState:
    """One quota of one tenant."""

    tenant: str
    quota: Quota
    used: float
    """In the quota's unit: jobs, seconds, pixels."""
    limit: float | None
    """None: no limit; then nothing is counted."""
    resets_ms: int | None
    """When nothing is used any more, milliseconds since the epoch; None for jobs in flight."""


def quotas(connection: Connection, tenant: str | None = None) -> list[QuotaState]:
    """The quotas of a tenant, or of all tenants that the file names or that have used some, by name.

    Raises InvalidDeployment for a file of quotas that can't be read, StoreUnreachable.
    """
    limits = _limits(connection)
    now_ms = time.time_ns() // 1_000_000
    try:
        if tenant is not None:
            tenants = [tenant]
        else:
            stored = {entry.key.split("/")[1] for entry in connection.artifacts.list_prefix(keys.QUOTAS)}
            tenants = sorted(stored | limits.tenants.keys())
        return [state for one in tenants for state in _of(connection, one, limits.of(one), now_ms)]
    except StorageError as e:
        raise StoreUnreachable(str(e)) from None


def _of(connection: Connection, tenant: str, limits: TenantQuotas, now_ms: int) -> list[QuotaState]:
    in_flight = usage.jobs_in_flight(connection.documents, tenant)
    used = usage.hour_usage(connection.documents, tenant, usage.hour_of(now_ms))
    resets_ms = usage.hour_ends_ms(now_ms)
    return [
        QuotaState(tenant, JOBS, len(in_flight.jobs), limits.jobs_in_flight, None),
        *(QuotaState(tenant, quota, used.of(quota).total, limits.limit(quota), resets_ms) for quota in HOURLY),
    ]


def _limits(connection: Connection) -> Quotas:
    path = connection.settings.quotas_file
    try:
        return Quotas() if path is None else read_quotas(path)
    except (OSError, InvalidQuotas) as e:
        raise InvalidDeployment(f"the file of quotas can't be read: {e}", "see LIPSTAGE_QUOTAS_FILE") from None
