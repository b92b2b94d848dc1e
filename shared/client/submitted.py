"""What a caller keeps of a request that it has submitted."""

from dataclasses import dataclass

from shared.client.job_key import JobKey
from shared.messages.engines import DEFAULT_ENGINE


@dataclass(frozen=True, slots=True)
class Submission:
    """A request that the broker has stored, now or at an earlier submission."""

    key: JobKey
    request_id: str
    """Id of this very record: two requests under one job id differ in it."""
    trace_id: str
    """32 hex digits; empty when the request was not sent now."""
    body_sha256: str
    engine: str = DEFAULT_ENGINE
    is_repeat: bool = False
    """True: the same request was submitted before, and was not sent again."""

    @property
    def job_id(self) -> str:
        """Id of the job it asks for."""
        return self.key.job_id

    @property
    def tenant(self) -> str:
        """Tenant of that job."""
        return self.key.tenant
