"""The requests of a batch under one job id, and whether the job of that id is theirs."""

from dataclasses import dataclass, field

from shared.client.errors import JobConflict
from shared.client.job_key import JobKey
from shared.client.request_log import SentRequest
from shared.storage.markers import RequestRecord


@dataclass(slots=True)
class RowRequests:
    """What is known of a row's requests: usually one, several after a batch was submitted again."""

    key: JobKey
    sent: list[SentRequest] = field(default_factory=list)
    """Those that were read from ``render.requests``, oldest first."""
    started: set[str] = field(default_factory=set)
    """Ids of requests whose events name the batch: they have the job id."""
    refused: set[str] = field(default_factory=set)
    """Ids of requests that were refused because another one has the job id."""

    @property
    def are_refused(self) -> bool:
        """Whether every known request was refused: the job of this id is another request's."""
        return bool(self.refused) and not self.started and {r.record.request_id for r in self.sent} <= self.refused

    def own(self, record: RequestRecord | None) -> bool:
        """Whether the job that a stored request claimed belongs to the batch; also when none is stored."""
        if self.are_refused:
            return False
        if record is None or not record.request_id:
            return True
        mine = [sent.record for sent in self.sent]
        return record.request_id in self.started or any(
            record.request_id == one.request_id or record.body_sha256 == one.body_sha256 for one in mine
        )

    def check(self, record: RequestRecord | None) -> None:
        """Raises JobConflict when the job belongs to another request."""
        if not self.own(record):
            raise JobConflict(f"job {self.key.job_id} belongs to another request: the row of the batch was refused")
