"""Finds out whether a job id is in use before a request under it is sent: in the object store, then in the queue."""

import re
from contextlib import suppress

from shared.client import history, request_log
from shared.client.connection import Connection
from shared.client.errors import BrokerUnreachable, JobDocumentUnreadable, StoreUnreachable
from shared.client.job_key import JobKey
from shared.client.job_spec import JobSpec
from shared.storage.markers import RequestRecord

MAX_REQUESTS = 20_000
"""How many of the newest requests are read for one that no service has taken yet."""
RANDOM_ID = re.compile(r"[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}")
"""Ids of `job_spec.new_job_id`: nobody has used a fresh one, so no queue is read for it."""


class EarlierRequests:
    """Earlier requests by job id. The queue is read once for all rows of a batch, for any other job each time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._batch: object = None
        self._queued: dict[JobKey, RequestRecord] = {}

    def find(self, spec: JobSpec) -> RequestRecord | None:
        """The request that has the job id, or will get it; None when the id is free, or can't be looked up."""
        record = None
        # A store that is away is reported by the upload; one that lets this client only write is no reason to refuse.
        with suppress(StoreUnreachable, JobDocumentUnreadable):
            record = history.stored_request(self._connection, spec.key)
        if record is not None or RANDOM_ID.fullmatch(spec.job_id):
            return record
        with suppress(BrokerUnreachable):  # Sending the request reports it.
            return self._in_queue(spec)
        return None

    def _in_queue(self, spec: JobSpec) -> RequestRecord | None:
        place = spec.fields.get("batch")
        if not isinstance(place, dict):
            sent = request_log.find(self._connection, spec.key, max_requests=MAX_REQUESTS)
            return sent.record if sent is not None else None
        if (spec.key.tenant, place["id"]) != self._batch:
            self._queued = {}
            self._batch = (spec.key.tenant, place["id"])
            newest = request_log.newest(self._connection, MAX_REQUESTS, spec.key.tenant)
            for request in sorted(newest, key=lambda one: one.time_ms):
                # Without the inputs: thousands of records are kept for as long as the batch is submitted.
                self._queued.setdefault(request.key, request.record.model_copy(update={"inputs": ()}))
        return self._queued.get(spec.key)
