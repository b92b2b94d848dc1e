"""Client library: submit jobs to a deployment, follow them, fetch results, cancel and purge.

``from shared.client import Client``; docs/client.md explains it. The library prints nothing, installs no signal
handlers, never ends the process and leaves ``os.environ`` as it is.

A name is imported when it is first used: a command that needs one error class does not load the Kafka client.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.client.audit import Audit, AuditFilter, AuditRow
    from shared.client.batch_actions import PurgedJob
    from shared.client.batch_download import FetchedFile
    from shared.client.batches import BatchState
    from shared.client.client import Client
    from shared.client.dead_letters.deciding import ReplayOptions
    from shared.client.dead_letters.filters import DeadLetterFilter
    from shared.client.dead_letters.listing import Listed
    from shared.client.dead_letters.plan import Plan
    from shared.client.dead_letters.replay import Replay, Replayed
    from shared.client.deployment import Deployment
    from shared.client.errors import (
        ArtifactUnavailable,
        BrokerUnreachable,
        BucketUnusable,
        ClientError,
        DeadLetterNotFound,
        InputBucketMissing,
        InvalidDeployment,
        InvalidManifest,
        InvalidQuery,
        InvalidRequest,
        JobConflict,
        JobDocumentUnreadable,
        JobEnded,
        JobNotFinished,
        JobNotFound,
        JobPurged,
        JobWithoutResult,
        PreviewNotFound,
        PurgeIncomplete,
        RecordRefused,
        StoreUnreachable,
        TargetExists,
        TargetUnwritable,
        TopicMissing,
        TracesRefused,
        TracesUnreachable,
        Unreachable,
        WaitTimeout,
    )
    from shared.client.job_key import JobKey
    from shared.client.job_spec import JobSpec
    from shared.client.job_state import JobState, StageState
    from shared.client.manifest import Manifest
    from shared.client.purge import Purged
    from shared.client.purge_calls import PurgeResult
    from shared.client.purge_plan import PurgePlan
    from shared.client.submission import Submission
    from shared.storage.client import S3Access

__all__ = [
    "ArtifactUnavailable",
    "Audit",
    "AuditFilter",
    "AuditRow",
    "BatchState",
    "BrokerUnreachable",
    "BucketUnusable",
    "Client",
    "ClientError",
    "DeadLetterFilter",
    "DeadLetterNotFound",
    "Deployment",
    "FetchedFile",
    "InputBucketMissing",
    "InvalidDeployment",
    "InvalidManifest",
    "InvalidQuery",
    "InvalidRequest",
    "JobConflict",
    "JobDocumentUnreadable",
    "JobEnded",
    "JobKey",
    "JobNotFinished",
    "JobNotFound",
    "JobPurged",
    "JobSpec",
    "JobState",
    "JobWithoutResult",
    "Listed",
    "Manifest",
    "Plan",
    "PreviewNotFound",
    "PurgeIncomplete",
    "PurgePlan",
    "PurgeResult",
    "Purged",
    "PurgedJob",
    "RecordRefused",
    "Replay",
    "ReplayOptions",
    "Replayed",
    "S3Access",
    "StageState",
    "StoreUnreachable",
    "Submission",
    "TargetExists",
    "TargetUnwritable",
    "TopicMissing",
    "TracesRefused",
    "TracesUnreachable",
    "Unreachable",
    "WaitTimeout",
]

_MODULES = {
    "shared.client.audit": (
        "Audit",
        "AuditFilter",
        "AuditRow",
    ),
    "shared.client.batch_actions": ("PurgedJob",),
    "shared.client.batch_download": ("FetchedFile",),
    "shared.client.batches": ("BatchState",),
    "shared.client.client": ("Client",),
    "shared.client.dead_letters.deciding": ("ReplayOptions",),
    "shared.client.dead_letters.filters": ("DeadLetterFilter",),
    "shared.client.dead_letters.listing": ("Listed",),
    "shared.client.dead_letters.plan": ("Plan",),
    "shared.client.dead_letters.replay": (
        "Replay",
        "Replayed",
    ),
    "shared.client.deployment": ("Deployment",),
    "shared.client.errors": (
        "ArtifactUnavailable",
        "BrokerUnreachable",
        "BucketUnusable",
        "ClientError",
        "DeadLetterNotFound",
        "InputBucketMissing",
        "InvalidDeployment",
        "InvalidManifest",
        "InvalidQuery",
        "InvalidRequest",
        "JobConflict",
        "JobDocumentUnreadable",
        "JobEnded",
        "JobNotFinished",
        "JobNotFound",
        "JobPurged",
        "JobWithoutResult",
        "PreviewNotFound",
        "PurgeIncomplete",
        "RecordRefused",
        "StoreUnreachable",
        "TargetExists",
        "TargetUnwritable",
        "TopicMissing",
        "TracesRefused",
        "TracesUnreachable",
        "Unreachable",
        "WaitTimeout",
    ),
    "shared.client.job_key": ("JobKey",),
    "shared.client.job_spec": ("JobSpec",),
    "shared.client.job_state": (
        "JobState",
        "StageState",
    ),
    "shared.client.manifest": ("Manifest",),
    "shared.client.purge": ("Purged",),
    "shared.client.purge_calls": ("PurgeResult",),
    "shared.client.purge_plan": ("PurgePlan",),
    "shared.client.submission": ("Submission",),
    "shared.storage.client": ("S3Access",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if (module := _MODULE_OF.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
