"""``lipstage quota``: usage, limit and reset of every quota."""

from dataclasses import asdict
from datetime import UTC, datetime

from shared.cli import console
from shared.cli.connection import connect
from shared.client.quotas import QuotaState, quotas

NONE = "-"


def show(tenant: str | None, as_json: bool) -> None:
    """Print the quotas of a tenant, or of all. Raises Unreachable, ClientError."""
    with connect() as client:
        states = quotas(client.connection, tenant)
    if as_json:
        for state in states:
            console.emit_json(asdict(state))
        return
    if not states:
        console.say("no tenant has quotas: LIPSTAGE_QUOTAS_FILE names the file with them")
        return
    console.table(("TENANT", "QUOTA", "USED", "LIMIT", "LEFT", "RESETS (UTC)"), map(_row, states))


def _row(state: QuotaState) -> tuple[str, ...]:
    if state.limit is None:
        return (state.tenant, state.quota, NONE, "unlimited", NONE, NONE)
    left = max(0.0, state.limit - state.used)
    resets = NONE
    if state.resets_ms is not None:
        resets = datetime.fromtimestamp(state.resets_ms / 1000, UTC).strftime("%H:%M")
    return (state.tenant, state.quota, _number(state.used), _number(state.limit), _number(left), resets)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"
