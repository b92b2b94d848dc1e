"""Results of a render, read part by part: a slow caller holds neither a thread nor a connection of the object store."""

from shared.client import Client, JobKey, results
from shared.client.results import Span, StoredFile

PART_BYTES = 512 << 10


def part(client: Client, job: JobKey, file: StoredFile, offset: int) -> bytes:
    """At most ``PART_BYTES`` from ``offset`` on. Raises as `shared.client.results.opened` and its reading do."""
    span = Span(offset, min(offset + PART_BYTES, file.size) - 1)
    reading = results.opened(client, job, file, span)
    try:
        return b"".join(iter(lambda: reading.read(PART_BYTES), b""))
    finally:
        reading.close()
