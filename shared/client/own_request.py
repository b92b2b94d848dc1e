"""Distinguishes events of the client's own request from those of other requests under the same job id.

The id may have been used before: by a request with another body, whose result is not this caller's to fetch, or by the
very same request, sent twice. The object store knows which request claimed the id first, and with what body.
"""

from collections.abc import Callable
from contextlib import suppress

from shared.client import event_log, history
from shared.client.connection import Connection
from shared.client.errors import JobConflict, Unreachable
from shared.client.submitted import Submission
from shared.messages.events import AnyEvent, Conflict


class OwnRequest:
    """A request that this client submitted.

    ``on_duplicate`` is called once with the id of an earlier identical request, when there is one.
    """

    def __init__(
        self, connection: Connection, submission: Submission, on_duplicate: Callable[[str], None] | None = None
    ) -> None:
        self._connection = connection
        self._submission = submission
        self._on_duplicate = on_duplicate
        self._duplicate = False

    def concerns(self, event: AnyEvent) -> bool:
        """Whether an event of the job is about this request, or is the refusal of another one.

        Raises JobConflict when this request was refused, or will be.
        """
        if isinstance(event, Conflict):
            if event.request_id == self._submission.request_id:
                raise self._conflict(event.message)
            return True
        return event.request_id == self._submission.request_id or self.is_duplicate()

    def refusal(self, key: bytes | None, value: bytes | None) -> AnyEvent | None:
        """The event of a record, if it refuses this request because this client may not speak for the tenant."""
        if key != self._submission.request_id.encode():
            return None
        event = event_log.parse(value)
        return event if event is not None and history.is_refusal(event, self._submission.request_id) else None

    def is_duplicate(self) -> bool:
        """Whether an identical request came first: then its outcome is the outcome of this one.

        Raises JobConflict when a request with another body has the job id.
        """
        if self._duplicate:
            return True
        record = None
        with suppress(Unreachable):  # The next call asks again.
            record = history.stored_request(self._connection.fail_fast, self._submission.key)
        if record is None or record.request_id == self._submission.request_id:
            return False
        if record.body_sha256 != self._submission.body_sha256:
            raise self._conflict("Another request has this job id.")
        self._duplicate = True
        if self._on_duplicate is not None:
            self._on_duplicate(record.request_id)
        return True

    def _conflict(self, message: str) -> JobConflict:
        return JobConflict(f"there is another job {self._submission.job_id}: {message}")
