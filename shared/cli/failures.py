"""How a command ends on an error of the client library, or on a setting that can't be read."""

from shared.cli import environment
from shared.cli.errors import CliError, ExitCode, advice
from shared.client import errors
from shared.client.job_key import JobKey
from shared.local import extras
from shared.messages.names import DEFAULT_TENANT

EXIT_CODES: tuple[tuple[type[errors.ClientError], ExitCode], ...] = (
    (errors.InvalidRequest, ExitCode.REJECTED),
    (errors.TargetExists, ExitCode.REJECTED),
    (errors.InputBucketMissing, ExitCode.REJECTED),
    (errors.InvalidDeployment, ExitCode.REJECTED),
    (errors.JobConflict, ExitCode.REJECTED),
    (errors.JobNotFound, ExitCode.REJECTED),
    (errors.JobEnded, ExitCode.REJECTED),
    (errors.DeadLetterNotFound, ExitCode.REJECTED),
    (errors.Unreachable, ExitCode.UNREACHABLE),
    (errors.ClientError, ExitCode.FAILED),
)
"""The first class that matches decides."""
HINTS: tuple[tuple[type[errors.ClientError], str], ...] = (
    (errors.TopicMissing, "create the topics with `lipstage topics apply`"),
    (errors.BucketUnusable, "check AWS_* and LIPSTAGE_BUCKET"),
    (errors.JobConflict, "choose another --job-id, or none"),
    (errors.TargetExists, "use --force to overwrite them, or another folder"),
    (errors.JobPurged, "to render it again, submit it under another job id"),
)
"""What helps on the command line, where the error itself has no hint."""


def explained(error: Exception) -> CliError | None:
    """The error as a command's end; None for one that is a bug."""
    if isinstance(error, errors.ClientError):
        code = next(code for kind, code in EXIT_CODES if isinstance(error, kind))
        return CliError(error.message, error.hint or _hint(error), error.details, code)
    if isinstance(error, ModuleNotFoundError) and (sentence := extras.explain(error.name or "")):
        return CliError(sentence)
    if isinstance(error, ValueError) and (lines := environment.faults(error)):
        return CliError(lines[0], environment.HINT, lines[1:], ExitCode.REJECTED)
    return None


def _hint(error: errors.ClientError) -> str | None:
    if isinstance(error, errors.JobNotFound):
        return "check the id; the job may belong to another --tenant, or be older than --scan reaches"
    if isinstance(error, errors.ArtifactUnavailable):
        return advice(error.code) if error.code else None
    return next((hint for kind, hint in HINTS if isinstance(error, kind)), None)


def batch_arguments(batch_id: str, tenant: str, option: str = "--batch") -> str:
    """A batch as commands take it, for hints."""
    return f"{option} {batch_id}" if tenant == DEFAULT_TENANT else f"{option} {batch_id} --tenant {tenant}"


def arguments(job: JobKey) -> str:
    """A job as commands take it, for hints."""
    return job.job_id if job.tenant == DEFAULT_TENANT else f"{job.job_id} --tenant {job.tenant}"
