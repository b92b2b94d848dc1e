"""Points in time as people write them: ``2h`` ago, or an ISO 8601 date or time."""

import re
from datetime import datetime, timedelta

from shared.cli.errors import BadUse

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def parse(text: str, now: datetime, option: str = "--since") -> datetime:
    """The time that ``text`` names: a number and s, m, h, d or w before ``now``, or an ISO 8601 date or time.

    A time without a zone is in the zone of ``now``. Raises BadUse.
    """
    try:
        if match := re.fullmatch(r"(\d{1,6})\s*([smhdw])", text.strip()):
            moment = now - timedelta(seconds=int(match[1]) * UNITS[match[2]])
        else:
            moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):  # Also an age that reaches beyond the year 1.
        raise BadUse(
            f"{option} {text!r} is not a time", "as 30m, 2h, 7d, 2026-11-28, or 2026-11-28T09:30+01:00"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)


def duration_s(text: str, option: str) -> float:
    """The seconds of a duration: a number and s, m, h, d or w. Raises BadUse."""
    match = re.fullmatch(r"(\d{1,6})\s*([smhdw])", text.strip())
    if match is None:
        raise BadUse(f"{option} {text!r} is not a duration", "as 90s, 30m, 2h or 7d")
    return float(int(match[1]) * UNITS[match[2]])
