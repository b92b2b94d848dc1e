"""Decides for each job how its video is marked as synthetic, by the policy of its tenant, and signs its manifest."""

import base64
import hashlib
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

import structlog

from shared.messages.task import RenderTask
from shared.runtime.failures import WorkerDied
from shared.runtime.policy_settings import PolicySettings
from shared.slot import records
from shared.slot.marking import LABEL_TEXTS, Label, Marking

if TYPE_CHECKING:
    from shared.runtime.execute.claim_signer import ClaimSigner

log = structlog.get_logger()

EXPIRES_SOON = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Provenance:
    """The marks of a stage that makes the finished video. Thread-safe."""

    policy: PolicySettings
    signer: "ClaimSigner | None"

    @classmethod
    def open(cls, policy: PolicySettings) -> Self:
        """Load the signer that the settings name. Raises OSError, and ValueError where it can't sign, or there is none
        and the settings ask for it."""
        certificates, private_key = policy.c2pa_certificate_file, policy.c2pa_private_key_file
        if certificates is None or private_key is None:
            named = [name for name, own in policy.tenant_policies.items() if "c2pa" in (own.provenance or ())]
            if "c2pa" in policy.provenance and "provenance" in policy.model_fields_set:
                raise ValueError("LIPSTAGE_PROVENANCE names c2pa, and LIPSTAGE_C2PA_CERTIFICATE_FILE is not set")
            if named:
                raise ValueError(
                    f"LIPSTAGE_TENANT_POLICIES names c2pa for {named[0]}, and LIPSTAGE_C2PA_CERTIFICATE_FILE is not set"
                )
            return cls(policy, None)
        # The library comes with the encode stage.
        from shared.runtime.execute.claim_signer import ClaimSigner

        return cls(policy, ClaimSigner.load(certificates, private_key))

    def warn(self) -> None:
        """Log what an operator may not expect: nothing is signed, or soon nothing will be."""
        if self.signer is None and "c2pa" in self.policy.provenance:
            log.warning("videos_not_signed", reason="LIPSTAGE_C2PA_CERTIFICATE_FILE is not set")
        elif self.signer is not None and self.signer.expires - datetime.now(UTC) < EXPIRES_SOON:
            log.warning("c2pa_certificate_expires", on=self.signer.expires.date().isoformat())

    def marking(self, task: RenderTask) -> Marking:
        """The marks of the job's video: those of its tenant's policy, and the label where the request asks for it."""
        tenant = task.request.tenant
        marks, language = self.policy.marks_of(tenant), self.policy.label_of(tenant)
        chosen = task.request.params.ai_label if language == "off" else language
        label = None
        if chosen is not None:
            label = Label(
                text=self.policy.label_text or LABEL_TEXTS[chosen],
                position=self.policy.label_position,
                height=self.policy.label_height,
                seconds=self.policy.label_seconds,
            )
        signs = self.signer is not None and "c2pa" in marks
        return Marking(
            label=label,
            producer=self.policy.aigc_producer if "aigc" in marks else None,
            signing=self.signer.signing(manifest_of(task)) if signs and self.signer is not None else None,
        )

    def sign(self, request: records.Sign, task: RenderTask, marking: Marking) -> records.Signed:
        """The signature that a worker asks for. Raises WorkerDied where it may not, or asks for something else."""
        if self.signer is None or marking.signing is None:
            raise WorkerDied("the worker asked for a signature, and the video is not to be signed")
        return records.Signed(signature=base64.b64encode(self.signer.sign(request.data, manifest_of(task))))


def manifest_of(task: RenderTask) -> str:
    """The label of the manifest of a job's video: a UUID that follows from the job and its request."""
    name = "\0".join((task.request.tenant, task.job_id, task.request_id))
    return f"urn:c2pa:{uuid.UUID(bytes=hashlib.sha256(name.encode()).digest()[:16], version=4)}"
