"""A record whose object the store does not answer for, while it answers for all others."""

import time

from shared.runtime.record import Record
from shared.runtime.store import Store


def one_records_alone(record: Record, store: Store, after_s: float) -> bool:
    """Whether the store works, and the record has been on the broker for ``after_s`` seconds.

    By its answer alone (5xx, none at all) the record's trouble is an outage, and is waited for. But a store can lose
    one object, as a volume of it, and the records behind would wait for ever.
    """
    now_ms = time.time_ns() // 1_000_000
    return now_ms - record.appended_ms(now_ms) >= after_s * 1000 and store.artifacts.answers()
