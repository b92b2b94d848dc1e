"""What is said of our own request, among all that is said under its job id.

The id may have been used before: by another request, whose end is not ours to fetch, or by the very same one, which had
been sent twice. The store knows who claimed it first, and with what body.
"""

from contextlib import suppress

from shared.cli import console, history
from shared.cli.connection import Connection
from shared.cli.errors import BadUse, Unreachable
from shared.cli.submit import Submitted
from shared.messages.events import AnyEvent, Conflict


class OwnRequest:
    """A request that was submitted from here."""

    def __init__(self, connection: Connection, submitted: Submitted) -> None:
        self._connection = connection
        self._submitted = submitted
        self._came_before = False

    def concerns(self, event: AnyEvent) -> bool:
        """Whether an event of the job is for us: about our request, or another one's refusal.

        Raises BadUse when ours was refused, or is bound to be.
        """
        if isinstance(event, Conflict):
            if event.request_id == self._submitted.request_id:
                raise self._refused(event.message)
            return True
        return event.request_id == self._submitted.request_id or self.came_before()

    def came_before(self) -> bool:
        """Whether the job is that of the very same request, sent once more: then its end is the answer to ours.

        Raises BadUse when a request with another body has the job id.
        """
        if self._came_before:
            return True
        ours, record = self._submitted, None
        with suppress(Unreachable):  # Asked again while the job goes on.
            record = history.stored_request(self._connection.brief, ours.job)
        if record is None or record.request_id == ours.request_id:
            return False
        if record.body_sha256 != ours.body_sha256:
            raise self._refused("Another request has this job id.")
        console.note(f"the same request was sent before; this is what became of it (request {record.request_id})")
        self._came_before = True
        return True

    def _refused(self, message: str) -> BadUse:
        return BadUse(f"there is another job {self._submitted.job_id}: {message}", "choose another --job-id, or none")
