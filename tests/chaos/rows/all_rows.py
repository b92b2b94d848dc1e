"""Every row, in the order in which they run."""

from tests.chaos.rows import crashes, lanes, parts, records, replays, wire
from tests.chaos.rows.table import Row

ROWS: tuple[Row, ...] = (*crashes.ROWS, *parts.ROWS, *records.ROWS, *wire.ROWS, *replays.ROWS, *lanes.ROWS)
