"""How callers of the client name a job."""

from shared.client.job_key import JobKey
from shared.client.submitted import Submission

JobLike = JobKey | Submission | str
"""By its key, by its submission, or by its id alone for the tenant ``default``."""


def key_of(job: JobLike) -> JobKey:
    """Raises InvalidRequest for an id or a tenant that can't be one: object keys are made of both."""
    if isinstance(job, Submission):
        return job.key
    return JobKey.parse(job) if isinstance(job, str) else JobKey.parse(job.job_id, job.tenant)
