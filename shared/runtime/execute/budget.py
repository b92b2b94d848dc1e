"""Limits what the worker may send in one attempt: it has opened hostile media, and the parent stores and publishes for
it."""

from collections import Counter

import structlog

from shared.messages.task import JobWarning, StageOutput
from shared.runtime.failures import OverBudget
from shared.slot import records
from shared.storage.manifest import MAX_CHUNKS

log = structlog.get_logger()

# Hard budgets: a worker that exceeds one is killed, as after an unreadable record. They are ten times what a handler
# sends for half an hour at two megapixels: 45 000 frames with a progress record each.
MAX_RECORDS = 1_000_000
MAX_PIPE_BYTES = 128 << 20
"""Size of all records together, bytes; 130 bytes a record on average."""
MAX_SEQUENCES = 4
MAX_CHECKPOINTS = 10_000
"""Checkpoints, each of which is uploaded: one every three seconds in an attempt of eight hours."""
MAX_FILE_BYTES = 256 << 30
"""Size of all files that the worker names, bytes: half an hour of I420 at two megapixels has 142 GB."""
MAX_FILES = 16
"""Files of a finished task; the stages of this project have at most four."""
MAX_SIGNATURES = 1

# Soft budgets: excess records are dropped and counted, because telemetry and hints must not fail a render.
MAX_SPANS = 2000
MAX_LOG_LINES = 2000
MAX_TELEMETRY_BYTES = 8 << 20
"""Size of spans and log lines together, bytes: they are buffered until they are exported."""
MAX_REPORT_BYTES = 64 << 10
"""Size of one span or log line, bytes."""
MAX_WARNINGS = 16
MAX_WARNING_CHARACTERS = 500
MAX_OUTPUT_BYTES = 10 << 10
"""Size of a stage's output in the task, bytes. Four outputs and the largest request fit the envelope of 64 KiB."""


class Budget:
    """Counts the records of one attempt. Used by the slot's thread only."""

    def __init__(self) -> None:
        self._records = 0
        self._bytes = 0
        self._telemetry_bytes = 0
        self._kinds: Counter[str] = Counter()
        self._roles: set[str] = set()
        self._dropped: Counter[str] = Counter()

    def read(self, size: int) -> None:
        """Count a received record of ``size`` bytes. Raises OverBudget."""
        self._records += 1
        self._bytes += size
        self._require("records", self._records, MAX_RECORDS)
        self._require("pipe bytes", self._bytes, MAX_PIPE_BYTES)

    def admits(self, record: records.FromWorker, size: int) -> bool:
        """Whether to process the record of ``size`` bytes; otherwise it is dropped and counted. Raises OverBudget."""
        self._kinds[record.kind] += 1
        count = self._kinds[record.kind]
        match record:
            case records.FileReady():
                self._roles.add(record.role)
                self._require("chunks", count, MAX_CHUNKS)
                self._require("sequences", len(self._roles), MAX_SEQUENCES)
            case records.Segment():
                self._require("segments", count, MAX_CHUNKS)
            case records.Checkpoint():
                self._require("checkpoints", count, MAX_CHECKPOINTS)
            case records.Sign():
                self._require("signatures", count, MAX_SIGNATURES)
            case records.Finished():
                self._require("files", len(record.files), MAX_FILES)
            case records.Span() | records.Log():
                limit = MAX_SPANS if isinstance(record, records.Span) else MAX_LOG_LINES
                if count > limit or size > MAX_REPORT_BYTES or self._telemetry_bytes + size > MAX_TELEMETRY_BYTES:
                    self._dropped[record.kind] += 1
                    return False
                self._telemetry_bytes += size
        return True

    def report(self) -> None:
        """Log the number of dropped records, if there are any."""
        if self._dropped:
            log.warning("worker_records_dropped", **self._dropped)

    def _require(self, budget: str, used: int, limit: int) -> None:
        if used > limit:
            raise OverBudget(f"the worker exceeded its budget of {limit} {budget}")


class Warnings:
    """The first warnings of one attempt, each once."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], JobWarning] = {}
        self._dropped = 0

    def add(self, record: records.Warned) -> None:
        """Keep the warning, unless it is a duplicate or the limit is reached."""
        message = record.message[:MAX_WARNING_CHARACTERS]
        if (record.code, message) in self._kept:
            return
        if len(self._kept) >= MAX_WARNINGS:
            self._dropped += 1
            return
        self._kept[record.code, message] = JobWarning(code=record.code, message=message)

    def within(self, output: StageOutput) -> StageOutput:
        """The output with as many warnings as fit ``MAX_OUTPUT_BYTES``. Raises OverBudget for an output that is too
        large without any."""
        kept = list(self._kept.values())
        while True:
            result = output.model_copy(update={"warnings": tuple(kept)})
            size = len(result.model_dump_json().encode())
            if size <= MAX_OUTPUT_BYTES:
                break
            if not kept:
                raise OverBudget(
                    f"the worker exceeded its budget of {MAX_OUTPUT_BYTES} bytes of metadata and files: {size}"
                )
            kept.pop()
            self._dropped += 1
        if self._dropped:
            log.warning("warnings_dropped", count=self._dropped)
        return result
