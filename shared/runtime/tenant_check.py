"""For which tenant the sender of a record may speak: decided before the record's body is believed, and without the
object store."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from shared.messages import tenant_signature
from shared.messages.codes import Code, Rejected
from shared.messages.delivery_headers import without
from shared.messages.identity import named_tenant
from shared.messages.lanes import BULK, lane_topic
from shared.messages.tenant_signature import Kind, SigningKey
from shared.messages.tenant_topics import UNVERIFIED, cancels_of, requests_of, tenant_topic
from shared.messages.topics import CANCEL, DAY_MS, REQUESTS, WORK_DAYS
from shared.runtime.consume.assignment import Record
from shared.runtime.settings import RuntimeSettings
from shared.runtime.tenant_settings import MISSING
from shared.telemetry import metrics

SHARED: dict[Kind, tuple[str, Callable[[str], str | None]]] = {
    "request": (REQUESTS, requests_of),
    "cancel": (CANCEL, cancels_of),
}
"""The shared topic of each kind of record, and the tenant of a topic of that kind."""
ALL = "*"
"""Stands for all tenants; no tenant has this name."""
log = structlog.get_logger()


class TenantCheck:
    """The rule that LIPSTAGE_TENANCY names. Thread-safe."""

    def __init__(self, settings: RuntimeSettings, keys: Sequence[SigningKey] = ()) -> None:
        """``keys`` are those of LIPSTAGE_TENANT_KEY. Raises ValueError when signatures are required without one."""
        if settings.tenancy == "signed" and not keys:
            raise ValueError(MISSING)
        self._settings = settings
        self._keys = keys

    def speaker(self, kind: Kind, record: Record) -> str | None:
        """The tenant for which the sender may speak; None: for any. Raises Rejected."""
        match self._settings.tenancy:
            case "single":
                return self._settings.tenant
            case "topic":
                return self._of_topic(kind, record)
            case "signed":
                return self._of_signature(kind, record)
        return None

    def served(self, record: Record) -> str | None:
        """The tenant in whose turn a request is processed; None: that of its body. All requests whose sender may speak
        for no tenant have one turn. Never raises."""
        try:
            return self.speaker("request", record)
        except Rejected:
            return UNVERIFIED

    def with_proof(self, record: Record) -> Record:
        """A request as it is sent on by a service that has verified its signature: to a retry topic, the dead letters
        or the bulk lane, where its signature gets too old. Without such a signature, and without keys, as it is.

        In every mode, so that none is lost when LIPSTAGE_TENANCY becomes signed.
        """
        try:
            tenant = self._of_signature("request", record) if self._keys else UNVERIFIED
        except Rejected:
            return record
        if tenant == UNVERIFIED:
            return record
        now_ms = time.time_ns() // 1_000_000
        proof = tenant_signature.prove_taken(self._keys, tenant, record.key, record.value, now_ms)
        return replace(record, headers=[*without(record.headers, (tenant_signature.TAKEN,)), proof])

    def _of_topic(self, kind: Kind, record: Record) -> str:
        shared, of_topic = SHARED[kind]
        tenant = of_topic(record.topic.removeprefix(self._settings.topic_prefix))
        if tenant is None:
            own = tenant_topic(shared, "<tenant>")
            raise Rejected(
                Code.TENANT_FORBIDDEN,
                f"This deployment takes no {kind}s on the shared topic {record.topic}: send it to the tenant's own.",
                field="topic",
                allowed=f"{own} or {lane_topic(own, BULK)}" if kind == "request" else own,
            )
        return tenant

    def _of_signature(self, kind: Kind, record: Record) -> str:
        signed = tenant_signature.verify(self._keys, kind, record.key, record.value, record.headers)
        if signed.tenant == UNVERIFIED:
            raise Rejected(Code.TENANT_FORBIDDEN, "The name of this tenant is reserved.", field="tenant")
        max_age_s = self._settings.signature_max_age_s
        appended_ms = record.appended_ms(time.time_ns() // 1_000_000)
        if signed.is_fresh(appended_ms, max_age_s) or self._was_taken(kind, signed.tenant, record, appended_ms):
            return signed.tenant
        raise Rejected(
            Code.TENANT_SIGNATURE_EXPIRED,
            "The record was signed too long before, or after, the broker received it: sign it when it is sent.",
            field=f"header {tenant_signature.SIGNATURE}",
            allowed=f"{max_age_s:g} s",
        )

    def _was_taken(self, kind: Kind, tenant: str, record: Record, appended_ms: int) -> bool:
        """Whether a service has verified this request, and this may be the copy that it sent on: no topic has one that
        is older than a dead letter gets."""
        if kind != "request":
            return False
        taken_ms = tenant_signature.taken_ms(self._keys, tenant, record.key, record.value, record.headers)
        kept_ms = max(self._settings.retention_dead_letter_records_days, WORK_DAYS) * DAY_MS
        return taken_ms is not None and appended_ms - taken_ms <= kept_ms


def check_named(speaker: str | None, named: str | None) -> None:
    """Check that a record of this speaker may name this tenant. None: any speaker may name any; a body that can't be
    read names none. Raises Rejected: a body is never changed into one of another tenant."""
    if speaker is not None and named not in (None, speaker):
        raise Rejected(
            Code.TENANT_FORBIDDEN,
            "The body names a tenant for which its sender may not speak.",
            field="tenant",
            allowed=speaker,
        )


def may_name(tenants: TenantCheck, record: Record) -> bool:
    """Whether the sender of a request may speak for the tenant that it names; leaves no audit line."""
    try:
        check_named(tenants.speaker("request", record), named_tenant(record.value))
    except Rejected:
        return False
    return True


def note_refusal(kind: Kind, record: Record, refusal: Rejected, named: str | None, job_id: str) -> None:
    """Write the audit line of a refused record, and count it. ``named`` and ``job_id`` are what the record claims."""
    metrics.TENANT_REFUSALS.labels(kind, refusal.code).inc()
    log.warning(
        "tenant_refused",
        kind=kind,
        code=refusal.code.value,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        named_tenant=named,
        named_job=job_id,
    )


def permits_cancel(tenants: TenantCheck) -> Callable[[Record, str | None, str], bool]:
    """Whether the sender of a record on a topic of cancel commands may speak for the tenant that it names (None: for
    all), with the job that it names; the answer False leaves the audit line."""

    def permits(record: Record, named: str | None, job_id: str) -> bool:
        try:
            speaker = tenants.speaker("cancel", record)
            # A tombstone for all tenants is the right of a sender that may speak for all.
            check_named(speaker, named or ALL)
        except Rejected as refusal:
            note_refusal("cancel", record, refusal, named, job_id)
            return False
        return True

    return permits
