"""What one attempt's worker may send: it has opened hostile media, and its parent reads, keeps and publishes for it."""

from collections import Counter

import structlog

from shared.messages.task import JobWarning, StageOutput
from shared.runtime.failures import OverBudget
from shared.slot import records
from shared.storage.manifest import MAX_CHUNKS

log = structlog.get_logger()

# Hard budgets: a worker over one is ended, like one that sends what can't be read. Ten times what an honest handler of
# half an hour at two megapixels sends: 45 000 frames, a record of progress each.
MAX_RECORDS = 1_000_000
MAX_PIPE_BYTES = 128 << 20
"""Of all records together; 130 bytes each on average."""
MAX_SEQUENCES = 4
MAX_STATES = 10_000
"""States to resume from, each of which is uploaded: one in every third second of an attempt of eight hours."""
MAX_HANDED_BYTES = 256 << 30
"""Size of all files handed over: half an hour of I420 at two megapixels has 142 GB."""
MAX_FILES = 16
"""Files of a finished task; ours have four at most."""

# Soft budgets: what is over is dropped and counted, for telemetry and hints must not cost anybody his video.
MAX_SPANS = 2000
MAX_LOG_LINES = 2000
MAX_TELEMETRY_BYTES = 8 << 20
"""Of spans and log lines together: they are kept until they are exported."""
MAX_REPORT_BYTES = 64 << 10
"""Of one span or log line."""
MAX_WARNINGS = 16
MAX_WARNING_CHARACTERS = 500
MAX_OUTPUT_BYTES = 10 << 10
"""Of a stage's output in the task. Four of them and the largest request fit the envelope of 64 KiB."""


class Budget:
    """Counts one attempt's records. Thread: the slot's own."""

    def __init__(self) -> None:
        self._records = 0
        self._bytes = 0
        self._telemetry_bytes = 0
        self._kinds: Counter[str] = Counter()
        self._roles: set[str] = set()
        self._dropped: Counter[str] = Counter()

    def read(self, size: int) -> None:
        """One more record of so many bytes came. Raises OverBudget."""
        self._records += 1
        self._bytes += size
        self._hold("records", self._records, MAX_RECORDS)
        self._hold("pipe bytes", self._bytes, MAX_PIPE_BYTES)

    def admits(self, record: records.FromWorker, size: int) -> bool:
        """Whether the record may go on; one that may not is dropped and counted. Raises OverBudget."""
        self._kinds[record.kind] += 1
        count = self._kinds[record.kind]
        match record:
            case records.FileReady():
                self._roles.add(record.role)
                self._hold("chunks", count, MAX_CHUNKS)
                self._hold("sequences", len(self._roles), MAX_SEQUENCES)
            case records.Checkpoint():
                self._hold("states", count, MAX_STATES)
            case records.Finished():
                self._hold("files", len(record.files), MAX_FILES)
            case records.Span() | records.Log():
                most = MAX_SPANS if isinstance(record, records.Span) else MAX_LOG_LINES
                if count > most or size > MAX_REPORT_BYTES or self._telemetry_bytes + size > MAX_TELEMETRY_BYTES:
                    self._dropped[record.kind] += 1
                    return False
                self._telemetry_bytes += size
        return True

    def report(self) -> None:
        """Log once what was dropped, if anything was."""
        if self._dropped:
            log.warning("worker_records_dropped", **self._dropped)

    def _hold(self, budget: str, used: int, most: int) -> None:
        if used > most:
            raise OverBudget(f"the worker is over its budget of {most} {budget}")


class Warnings:
    """The warnings of one attempt: each once, the first few of them."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], JobWarning] = {}
        self._dropped = 0

    def add(self, record: records.Warned) -> None:
        """Keep it, unless it was given before or there are enough."""
        message = record.message[:MAX_WARNING_CHARACTERS]
        if (record.code, message) in self._kept:
            return
        if len(self._kept) >= MAX_WARNINGS:
            self._dropped += 1
            return
        self._kept[record.code, message] = JobWarning(code=record.code, message=message)

    def within(self, output: StageOutput) -> StageOutput:
        """The output with as many of the warnings as its budget has room for. Raises OverBudget without any."""
        kept = list(self._kept.values())
        while True:
            fit = output.model_copy(update={"warnings": tuple(kept)})
            size = len(fit.model_dump_json().encode())
            if size <= MAX_OUTPUT_BYTES:
                break
            if not kept:
                raise OverBudget(
                    f"the worker is over its budget of {MAX_OUTPUT_BYTES} bytes of metadata and files: {size}"
                )
            kept.pop()
            self._dropped += 1
        if self._dropped:
            log.warning("warnings_dropped", count=self._dropped)
        return fit
